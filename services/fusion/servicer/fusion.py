"""FusionService: contract in, use case, contract out."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import Any
from uuid import UUID

import grpc

from libs.common.pagination import PageTokens, page_size
from libs.common.rpc.caller import current_caller
from libs.common.rpc.drain import current_drain
from libs.common.timestamps import to_datetime
from quietus.fusion.v1 import fusion_pb2 as contract
from quietus.fusion.v1.fusion_pb2_grpc import FusionServiceServicer
from services.fusion.explanation import Wording
from services.fusion.fold import ChunkResult
from services.fusion.records import BEGINNING, PageKey, SessionRisk
from services.fusion.service.answers import Sessions
from services.fusion.service.live import LiveSessions
from services.fusion.service.replaying import SessionReplay
from services.fusion.service.reviewing import Candidate, Reviews
from services.fusion.servicer.reviews import review_message
from services.fusion.silence import Silence
from services.fusion.telling import record_message, replay_message, result_message, risk_message

Context = grpc.aio.ServicerContext[Any, Any]

PAGE_DEFAULT = 200
PAGE_MOST = 1000


class FusionServicer(FusionServiceServicer):
    def __init__(
        self,
        sessions: Sessions,
        replay: SessionReplay,
        live: LiveSessions,
        reviews: Reviews,
        page_tokens: PageTokens,
        wordings: Mapping[str, Wording],
    ) -> None:
        self._sessions = sessions
        self._replay = replay
        self._live = live
        self._reviews = reviews
        self._page_tokens = page_tokens
        self._wordings = wordings

    async def ListFusionResults(
        self, request: contract.ListFusionResultsRequest, context: Context
    ) -> contract.ListFusionResultsResponse:
        session_id, method = UUID(request.session_id), f"ListFusionResults {request.session_id}"
        size = page_size(request.page_size, PAGE_DEFAULT, PAGE_MOST)
        after = self._opened(method, request.page_token)
        found, silences = await self._sessions.results(current_caller(), session_id, after, size + 1)
        return contract.ListFusionResultsResponse(
            results=await self._results(session_id, found[:size], silences),
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
        return contract.GetSessionRiskResponse(risk=await self._risk(risk))

    async def WatchSession(
        self, request: contract.WatchSessionRequest, context: Context
    ) -> AsyncIterator[contract.WatchSessionResponse]:
        session_id, caller, drain = UUID(request.session_id), current_caller(), current_drain()
        # There may be no state for long: so the caller knows that the watch stands.
        await context.send_initial_metadata(())
        async with aclosing(self._live.states(caller, session_id, request.after_position, drain)) as states:
            async for position, risk in states:
                yield contract.WatchSessionResponse(risk=await self._risk(risk), position=position)

    async def ReviewThresholds(
        self, request: contract.ReviewThresholdsRequest, context: Context
    ) -> contract.ReviewThresholdsResponse:
        start = to_datetime(request.start_time) if request.HasField("start_time") else None
        end = to_datetime(request.end_time) if request.HasField("end_time") else None
        candidates = [_candidate(one) for one in request.candidates]
        return review_message(await self._reviews.review(current_caller(), start, end, candidates))

    async def ReplayChunk(self, request: contract.ReplayChunkRequest, context: Context) -> contract.ReplayChunkResponse:
        session_id = UUID(request.session_id)
        replay = await self._sessions.replay(current_caller(), session_id, UUID(request.chunk_id))
        stored, replayed = await self._results(session_id, [replay.stored, replay.replayed], replay.silences)
        return contract.ReplayChunkResponse(stored=stored, replayed=replayed, identical=replay.identical)

    async def ReplaySession(
        self, request: contract.ReplaySessionRequest, context: Context
    ) -> AsyncIterator[contract.ReplaySessionResponse]:
        session_id, method = UUID(request.session_id), f"ReplaySession {request.session_id}"
        caller, drain, chunks, identical = current_caller(), current_drain(), 0, True
        after = self._opened(method, request.page_token)
        async with aclosing(self._replay.parts(caller, session_id, after)) as parts:
            async for part in parts:
                chunks, identical = chunks + part.chunks, identical and not part.differences
                token = self._sealed(method, part.last) if part.last else ""
                yield replay_message(part, chunks, token, identical=identical)
                if drain.is_set():
                    return

    async def _results(
        self, session_id: UUID, some: Sequence[ChunkResult], silences: Sequence[Silence]
    ) -> Sequence[contract.FusionResult]:
        return [
            result_message(session_id, result, silences=silences, otherwise=otherwise, wordings=self._wordings)
            for result, otherwise in zip(some, await self._sessions.otherwise(some), strict=True)
        ]

    async def _risk(self, risk: SessionRisk) -> contract.SessionRisk:
        (otherwise,) = await self._sessions.otherwise([risk.latest])
        return risk_message(risk, otherwise, self._wordings)

    def _opened(self, method: str, token: str) -> PageKey:
        values = self._page_tokens.open(method, token)
        if values is None:
            return BEGINNING
        return datetime.fromisoformat(str(values[0])), UUID(str(values[1]))

    def _sealed(self, method: str, key: PageKey) -> str:
        return self._page_tokens.seal(method, (key[0].isoformat(), str(key[1])))


def _candidate(candidate: contract.ThresholdCandidate) -> Candidate:
    return (
        candidate.enter_high if candidate.HasField("enter_high") else None,
        candidate.enter_critical if candidate.HasField("enter_critical") else None,
    )
