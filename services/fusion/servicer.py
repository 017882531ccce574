"""FusionService: contract in, use case, contract out."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any
from uuid import UUID

import grpc

from libs.common.pagination import PageTokens, page_size
from libs.common.rpc.caller import current_caller
from libs.common.rpc.drain import current_drain
from quietus.fusion.v1 import fusion_pb2 as contract
from quietus.fusion.v1.fusion_pb2_grpc import FusionServiceServicer
from services.fusion.records import BEGINNING, PageKey, SessionRisk
from services.fusion.service import Sessions
from services.fusion.telling import record_message, result_message, risk_message
from services.fusion.watching import Watchers, rung

Context = grpc.aio.ServicerContext[Any, Any]

PAGE_DEFAULT = 200
PAGE_MOST = 1000


class FusionServicer(FusionServiceServicer):
    def __init__(self, sessions: Sessions, watchers: Watchers, page_tokens: PageTokens) -> None:
        self._sessions = sessions
        self._watchers = watchers
        self._page_tokens = page_tokens

    async def ListFusionResults(
        self, request: contract.ListFusionResultsRequest, context: Context
    ) -> contract.ListFusionResultsResponse:
        session_id, method = UUID(request.session_id), f"ListFusionResults {request.session_id}"
        size = page_size(request.page_size, PAGE_DEFAULT, PAGE_MOST)
        after = self._opened(method, request.page_token)
        found, silences = await self._sessions.results(current_caller(), session_id, after, size + 1)
        return contract.ListFusionResultsResponse(
            results=[result_message(session_id, result, explained=True, silences=silences) for result in found[:size]],
            next_page_token=self._sealed(method, found[size - 1].key) if len(found) > size else "",
        )

    async def ListDissonanceRecords(
        self, request: contract.ListDissonanceRecordsRequest, context: Context
    ) -> contract.ListDissonanceRecordsResponse:
        session_id, method = UUID(request.session_id), f"ListDissonanceRecords {request.session_id}"
        size = page_size(request.page_size, PAGE_DEFAULT, PAGE_MOST)
        after = self._opened(method, request.page_token)
        found = await self._sessions.dissonance_records(current_caller(), session_id, after, size + 1)
        return contract.ListDissonanceRecordsResponse(
            records=[record_message(record) for record in found[:size]],
            next_page_token=self._sealed(method, found[size - 1].key) if len(found) > size else "",
        )

    async def GetSessionRisk(
        self, request: contract.GetSessionRiskRequest, context: Context
    ) -> contract.GetSessionRiskResponse:
        risk = await self._sessions.risk(current_caller(), UUID(request.session_id))
        return contract.GetSessionRiskResponse(risk=risk_message(risk))

    async def WatchSession(
        self, request: contract.WatchSessionRequest, context: Context
    ) -> AsyncIterator[contract.WatchSessionResponse]:
        session_id, caller, drain = UUID(request.session_id), current_caller(), current_drain()
        seen: SessionRisk | None = None
        with self._watchers.bell(session_id) as bell:
            # There may be no state for long: so the caller knows that the watch stands.
            await context.send_initial_metadata(())
            while not drain.is_set():
                news = await self._sessions.news(caller, session_id, seen)
                if news is not None:
                    seen = news
                    yield contract.WatchSessionResponse(risk=risk_message(news))
                await _first_of(rung(bell), drain.wait())

    async def ReplayChunk(self, request: contract.ReplayChunkRequest, context: Context) -> contract.ReplayChunkResponse:
        session_id = UUID(request.session_id)
        replay = await self._sessions.replay(current_caller(), session_id, UUID(request.chunk_id))
        return contract.ReplayChunkResponse(
            stored=result_message(session_id, replay.stored, explained=True, silences=replay.silences),
            replayed=result_message(session_id, replay.replayed, explained=True, silences=replay.silences),
            identical=replay.identical,
        )

    def _opened(self, method: str, token: str) -> PageKey:
        values = self._page_tokens.open(method, token)
        if values is None:
            return BEGINNING
        return datetime.fromisoformat(str(values[0])), UUID(str(values[1]))

    def _sealed(self, method: str, key: PageKey) -> str:
        return self._page_tokens.seal(method, (key[0].isoformat(), str(key[1])))


async def _first_of(*waits: Any) -> None:
    """Returns when one has, and cancels the others."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
