"""Keeps and shows analyses of single texts."""

from uuid import UUID

from libs.common.clock import Clock
from libs.common.db.audit import append_audit
from libs.common.db.database import Database, Transaction
from libs.common.pagination import Position
from libs.common.people.access import Access
from libs.common.people.store import ensure_user
from libs.common.rpc.caller import Caller
from libs.common.rpc.errors import AppError, ErrorKind
from quietus_edge.sealing import ANALYSIS_RECORDS
from services.ingest.analyses import Analysis, AnalysisContent
from services.ingest.sealing import Words
from services.ingest.service.callers import actor_of, user_id_of
from services.ingest.service.words import WordKeeper
from services.ingest.store import analyses
from services.ingest.store.analyses import Filter
from services.ingest.store.pages import PAGE_BYTES, Page


class Analyses:
    def __init__(self, database: Database, access: Access, allow_plaintext: bool, clock: Clock) -> None:
        self._database = database
        self._access = access
        self._clock = clock
        self._words = WordKeeper(
            ANALYSIS_RECORDS, "sealed_input_text", "input_text", "input_text_state", allow_plaintext
        )

    async def record(self, caller: Caller, request_id: UUID, content: AnalysisContent, words: Words) -> Analysis:
        """As it was first recorded."""
        user_id, now = user_id_of(caller), self._clock()
        self._words.check(words)
        if wrong := content.wrong_field(now):
            text = "out of order, or over a day ahead"
            raise AppError(ErrorKind.INVALID_ARGUMENT, "INVALID_FIELD", text, field=wrong)
        async with self._database.transaction() as tx:
            await ensure_user(tx, user_id, caller.anonymous_id)
            sealed = await self._words.seal(tx, words, user_id, request_id)
            analysis = Analysis(request_id, user_id, caller.anonymous_id, content, sealed, now, content.digest(words))
            if not await analyses.add(tx, analysis):
                return await _same(tx, analysis)
            await append_audit(
                tx,
                user_id=user_id,
                actor=actor_of(caller),
                action="analysis.record",
                resource_type="analysis",
                resource_id=request_id,
            )
        return analysis

    async def get(self, caller: Caller, request_id: UUID) -> Analysis:
        async with self._database.read() as tx:
            analysis = await analyses.find(tx, request_id)
            owner = analysis.user_id if analysis else None
            await self._access.check_owner(tx, caller, owner, "ANALYSIS_NOT_FOUND")
        assert analysis is not None
        return analysis

    async def page(
        self, caller: Caller, anonymous_id: str, wanted: Filter, before: Position | None, limit: int
    ) -> Page[Analysis]:
        async with self._database.read() as tx:
            person = await self._access.person_for(tx, caller, anonymous_id)
            return await analyses.page(tx, person.user_id, wanted, before, limit, PAGE_BYTES)


async def _same(tx: Transaction, asked: Analysis) -> Analysis:
    stored = await analyses.find(tx, asked.request_id)
    if stored is None or (stored.user_id, stored.digest) != (asked.user_id, asked.digest):
        raise AppError(ErrorKind.ALREADY_EXISTS, "ANALYSIS_EXISTS")
    return stored
