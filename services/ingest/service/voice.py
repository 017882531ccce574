"""Keeps and shows voice sessions, until everything was learned from them."""

from collections import Counter
from collections.abc import Collection
from datetime import timedelta
from uuid import UUID

from libs.common.clock import Clock
from libs.common.db.audit import append_audit
from libs.common.db.database import Database, Transaction
from libs.common.pagination import Position
from libs.common.people.access import Access
from libs.common.people.store import ensure_user
from libs.common.rpc.caller import Caller
from libs.common.rpc.errors import AppError, ErrorKind
from quietus_edge.sealing import VOICE_SESSIONS
from services.ingest.events import voice_session_recorded
from services.ingest.sealing import Words
from services.ingest.service.callers import actor_of, user_id_of
from services.ingest.service.words import WordKeeper
from services.ingest.store import voice
from services.ingest.store.pages import PAGE_BYTES, Page
from services.ingest.voice import VoiceContent, VoiceSession

RESOURCE = "voice_session"


class VoiceSessions:
    def __init__(
        self, database: Database, access: Access, retention: timedelta, allow_plaintext: bool, clock: Clock
    ) -> None:
        self._database = database
        self._access = access
        self._retention = retention
        self._clock = clock
        self._words = WordKeeper(VOICE_SESSIONS, "sealed_transcript", "transcript", "transcript_state", allow_plaintext)

    async def record(self, caller: Caller, voice_session_id: UUID, content: VoiceContent, words: Words) -> VoiceSession:
        """As it was first recorded."""
        user_id, now = user_id_of(caller), self._clock()
        self._words.check(words)
        if not content.may_be(now):
            text = "before the start, over 24 hours after it, or over a day ahead"
            raise AppError(ErrorKind.INVALID_ARGUMENT, "INVALID_FIELD", text, field="end_time")
        async with self._database.transaction() as tx:
            await ensure_user(tx, user_id, caller.anonymous_id)
            session = VoiceSession(
                voice_session_id=voice_session_id,
                user_id=user_id,
                anonymous_id=caller.anonymous_id,
                content=content,
                words=await self._words.seal(tx, words, user_id, voice_session_id),
                processed=False,
                patterns_extracted=False,
                delete_time=now + self._retention,
                receive_time=now,
                digest=content.digest(words),
            )
            if not await voice.add(tx, session):
                return await _same(tx, session)
            tx.append_to_outbox([voice_session_recorded(session)])
            await append_audit(
                tx,
                user_id=user_id,
                actor=actor_of(caller),
                action="voice_session.record",
                resource_type=RESOURCE,
                resource_id=voice_session_id,
            )
        return session

    async def get(self, caller: Caller, voice_session_id: UUID) -> VoiceSession:
        async with self._database.read() as tx:
            session = await voice.find(tx, voice_session_id)
            owner = session.user_id if session else None
            await self._access.check_owner(tx, caller, owner, "VOICE_SESSION_NOT_FOUND")
        assert session is not None
        return session

    async def page(self, caller: Caller, anonymous_id: str, before: Position | None, limit: int) -> Page[VoiceSession]:
        async with self._database.read() as tx:
            person = await self._access.person_for(tx, caller, anonymous_id)
            return await voice.page(tx, person.user_id, before, limit, PAGE_BYTES)

    async def mark_extracted(self, caller: Caller, voice_session_ids: Collection[UUID]) -> int:
        """How many weren't marked before. Audited once for each person."""
        async with self._database.transaction() as tx:
            people = Counter(await voice.mark_extracted(tx, voice_session_ids))
            for user_id, sessions in people.items():
                await append_audit(
                    tx,
                    user_id=user_id,
                    actor=actor_of(caller),
                    action="voice_session.mark_extracted",
                    resource_type=RESOURCE,
                    metadata={"sessions": sessions},
                )
        return people.total()


async def _same(tx: Transaction, asked: VoiceSession) -> VoiceSession:
    stored = await voice.find(tx, asked.voice_session_id)
    if stored is None or (stored.user_id, stored.digest) != (asked.user_id, asked.digest):
        raise AppError(ErrorKind.ALREADY_EXISTS, "VOICE_SESSION_EXISTS")
    return stored
