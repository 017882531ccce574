"""Voice sessions: found by session_id (primary key), listed by idx_voice_sessions_user_id, cleaned up by
idx_voice_sessions_extracted, counted by idx_voice_sessions_waiting.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import delete, func, select, true, tuple_, update
from sqlalchemy.dialects.postgresql import insert

from libs.common.db.database import AnyRow, Transaction
from libs.common.pagination import Position
from services.ingest.sealing import Sealed
from services.ingest.store.pages import Page, page_of, within_bytes
from services.ingest.tables import METADATA, VOICE_SESSIONS
from services.ingest.vocabulary import TranscriptState
from services.ingest.voice import VoiceContent, VoiceSession

USERS = METADATA.tables["ingest.users"]
COLUMNS = VOICE_SESSIONS.c
_SELECT = select(VOICE_SESSIONS, USERS.c.anonymous_id).join(USERS, USERS.c.user_id == COLUMNS.user_id)
# Literals, because a partial index serves no condition on a parameter.
_EXTRACTED = COLUMNS.patterns_extracted == true()
_WAITING = ~COLUMNS.processed


async def add(tx: Transaction, session: VoiceSession) -> bool:
    """False when the id is taken; nothing is written then."""
    content = session.content
    statement = insert(VOICE_SESSIONS).values(
        session_id=session.voice_session_id,
        user_id=session.user_id,
        session_start=content.start_time,
        session_end=content.end_time,
        duration_seconds=content.duration_seconds,
        voice_emotion=content.emotion,
        emotion_confidence=content.confidence,
        voice_features=content.features,
        transcript_encrypted=session.words.content,
        transcript_state=session.words.state,
        transcript_language=content.language,
        processed=session.processed,
        patterns_extracted=session.patterns_extracted,
        delete_after=session.delete_time,
        model_version=content.model_version,
        receive_time=session.receive_time,
        content_digest=session.digest,
    )
    return await tx.scalar(statement.on_conflict_do_nothing().returning(COLUMNS.session_id)) is not None


async def find(tx: Transaction, voice_session_id: UUID) -> VoiceSession | None:
    row = await tx.fetch_one(_SELECT.where(COLUMNS.session_id == voice_session_id))
    return None if row is None else _session(row)


async def page(
    tx: Transaction, user_id: UUID, before: Position | None, limit: int, words_bytes: int
) -> Page[VoiceSession]:
    """Newest start first: at most `limit`, and at most one after `words_bytes` of sealed words. `before` is the start
    and id of the last session of the page before.
    """
    statement = _SELECT.where(COLUMNS.user_id == user_id)
    if before is not None:
        statement = statement.where(tuple_(COLUMNS.session_start, COLUMNS.session_id) < before)
    statement = statement.order_by(COLUMNS.session_start.desc(), COLUMNS.session_id.desc()).limit(limit + 1)
    order = ["session_start", "session_id"]
    statement = within_bytes(statement, "transcript_encrypted", order, words_bytes, newest_first=True)
    found = page_of(await tx.fetch_all(statement), limit)
    return Page([_session(row) for row in found.items], found.has_more)


async def by_receive_time(tx: Transaction, user_id: UUID) -> Sequence[VoiceSession]:
    statement = _SELECT.where(COLUMNS.user_id == user_id).order_by(COLUMNS.receive_time, COLUMNS.session_id)
    return [_session(row) for row in await tx.fetch_all(statement)]


async def mark_extracted(tx: Transaction, voice_session_ids: Collection[UUID]) -> list[UUID]:
    """Whose sessions changed, once for each. Locked in one order, since callers may repeat themselves at once."""
    wanted = select(COLUMNS.session_id).where(COLUMNS.session_id.in_(voice_session_ids), ~COLUMNS.patterns_extracted)
    locked = wanted.order_by(COLUMNS.session_id).with_for_update().cte("locked")
    statement = (
        update(VOICE_SESSIONS)
        .where(COLUMNS.session_id == locked.c.session_id)
        .values(processed=True, patterns_extracted=True)
        .returning(COLUMNS.user_id)
    )
    return [row.user_id for row in await tx.fetch_all(statement)]


async def delete_extracted(tx: Transaction, now: datetime, limit: int) -> int:
    """The longest overdue; how many they were. What somebody else holds is left for later."""
    due = select(COLUMNS.session_id).where(_EXTRACTED, COLUMNS.delete_after < now)
    due = due.order_by(COLUMNS.delete_after).limit(limit).with_for_update(skip_locked=True)
    result = await tx.execute(delete(VOICE_SESSIONS).where(COLUMNS.session_id.in_(due)))
    return result.rowcount


async def count_overdue(tx: Transaction, now: datetime, limit: int) -> int:
    """Past delete_after and not processed, up to the limit."""
    overdue = select(COLUMNS.session_id).where(_WAITING, COLUMNS.delete_after < now).limit(limit)
    count: int = await tx.scalar(select(func.count()).select_from(overdue.subquery()))
    return count


def _session(row: AnyRow) -> VoiceSession:
    return VoiceSession(
        voice_session_id=row.session_id,
        user_id=row.user_id,
        anonymous_id=row.anonymous_id,
        content=VoiceContent(
            start_time=row.session_start,
            end_time=row.session_end,
            emotion=row.voice_emotion,
            confidence=row.emotion_confidence,
            features=row.voice_features,
            language=row.transcript_language,
            model_version=row.model_version,
        ),
        words=Sealed(row.transcript_encrypted, TranscriptState(row.transcript_state)),
        processed=row.processed,
        patterns_extracted=row.patterns_extracted,
        delete_time=row.delete_after,
        receive_time=row.receive_time,
        digest=row.content_digest,
    )
