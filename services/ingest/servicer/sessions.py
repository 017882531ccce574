"""quietus.ingest.v1.IngestService."""

import asyncio
from datetime import datetime
from uuid import UUID

from grpc.aio import EOF

from libs.common.clock import Clock
from libs.common.pagination import PageTokens, page_size
from libs.common.rpc.call import ServicerContext
from libs.common.rpc.caller import current_caller
from libs.common.rpc.drain import current_drain
from libs.common.rpc.errors import AppError, ErrorKind
from libs.common.rpc.validation import Validator, parser
from libs.common.timestamps import to_datetime, to_timestamp
from quietus.ingest.v1 import ingest_pb2, ingest_pb2_grpc
from services.ingest.messages import (
    from_place,
    to_answer,
    to_clock,
    to_details,
    to_exported,
    to_outcome,
    to_place,
    to_session,
    to_stored_prediction,
)
from services.ingest.service.exports import Exports, Part
from services.ingest.service.predictions import Predictions
from services.ingest.service.sessions import Sessions
from services.ingest.service.stream import Answer, Read, parse_request
from services.ingest.sessions import Session
from services.ingest.vocabulary import Modality

SESSIONS_PAGE_DEFAULT, SESSIONS_PAGE_MAX = 50, 200
PREDICTIONS_PAGE_DEFAULT, PREDICTIONS_PAGE_MAX = 200, 1000

SERVICE = "quietus.ingest.v1.IngestService"
# Predictions are checked one by one, so that a bad one doesn't refuse its batch, and when their group is made.
RAW_METHODS = (f"/{SERVICE}/StreamPredictions", f"/{SERVICE}/RecordPredictions")


_parse_single = parser(ingest_pb2.RecordPredictionsRequest)
_validator = Validator()
_NO_CREDIT = ingest_pb2.Credit()


class IngestServicer(ingest_pb2_grpc.IngestServiceServicer):
    def __init__(
        self, sessions: Sessions, predictions: Predictions, exports: Exports, page_tokens: PageTokens, clock: Clock
    ) -> None:
        self._sessions = sessions
        self._predictions = predictions
        self._exports = exports
        self._page_tokens = page_tokens
        self._clock = clock

    async def StartSession(
        self, request: ingest_pb2.StartSessionRequest, context: ServicerContext
    ) -> ingest_pb2.StartSessionResponse:
        start_time = to_datetime(request.start_time)
        session = await self._sessions.start(current_caller(), UUID(request.session_id), start_time)
        return ingest_pb2.StartSessionResponse(session=self._to_session(session))

    async def EndSession(
        self, request: ingest_pb2.EndSessionRequest, context: ServicerContext
    ) -> ingest_pb2.EndSessionResponse:
        end_time = to_datetime(request.end_time)
        session = await self._sessions.end(current_caller(), UUID(request.session_id), end_time)
        return ingest_pb2.EndSessionResponse(session=self._to_session(session))

    async def GetSession(
        self, request: ingest_pb2.GetSessionRequest, context: ServicerContext
    ) -> ingest_pb2.GetSessionResponse:
        details = await self._sessions.get(current_caller(), UUID(request.session_id))
        return to_details(details, self._sessions.grace)

    async def ListSessions(
        self, request: ingest_pb2.ListSessionsRequest, context: ServicerContext
    ) -> ingest_pb2.ListSessionsResponse:
        scope = f"ListSessions {request.anonymous_id}"
        size = page_size(request.page_size, SESSIONS_PAGE_DEFAULT, SESSIONS_PAGE_MAX)
        last = self._page_tokens.open(scope, request.page_token)
        before = (datetime.fromisoformat(str(last[0])), UUID(str(last[1]))) if last else None
        found = await self._sessions.page(current_caller(), request.anonymous_id, before, size + 1)
        response = ingest_pb2.ListSessionsResponse(sessions=map(self._to_session, found[:size]))
        if len(found) > size:
            oldest = found[size - 1]
            values = [oldest.start_time.isoformat(), str(oldest.key.session_id)]
            response.next_page_token = self._page_tokens.seal(scope, values)
        return response

    async def ListPredictions(
        self, request: ingest_pb2.ListPredictionsRequest, context: ServicerContext
    ) -> ingest_pb2.ListPredictionsResponse:
        scope = f"ListPredictions {request.session_id} {request.modality}"
        size = page_size(request.page_size, PREDICTIONS_PAGE_DEFAULT, PREDICTIONS_PAGE_MAX)
        last = self._page_tokens.open(scope, request.page_token)
        after = UUID(str(last[0])) if last else None
        modality = Modality(request.modality)
        page = await self._predictions.page(current_caller(), UUID(request.session_id), modality, after, size)
        response = ingest_pb2.ListPredictionsResponse(
            predictions=[to_stored_prediction(modality, row) for row in page.items]
        )
        if page.has_more:
            response.next_page_token = self._page_tokens.seal(scope, [str(page.items[-1].chunk_id)])
        return response

    # Uses the context, because only so can a write be given up.
    async def ExportSession(  # type: ignore[override]
        self, request: ingest_pb2.ExportSessionRequest, context: ServicerContext
    ) -> None:
        scope = f"ExportSession {request.session_id}"
        place = to_place(self._page_tokens.open(scope, request.page_token))

        async def write(part: Part) -> None:
            token = self._page_tokens.seal(scope, from_place(part.place))
            await context.write(to_exported(part, token))

        await self._exports.send(current_caller(), UUID(request.session_id), place, write, current_drain())

    async def RecordPredictions(  # type: ignore[override]  # a raw method
        self, message: bytes, context: ServicerContext
    ) -> ingest_pb2.RecordPredictionsResponse:
        request = _parse_single(message)
        session_id, sender_id = _uuid(request.session_id, "session_id"), _sender_id(request.sender_id)
        outcome = await self._predictions.record(current_caller(), session_id, sender_id, request.batch)
        return ingest_pb2.RecordPredictionsResponse(outcome=to_outcome(outcome))

    # Uses the context, as gRPC allows and the stub's type doesn't know: only so can a write be given up, and reading
    # costs less than by the iterator.
    async def StreamPredictions(  # type: ignore[override]
        self, request_iterator: object, context: ServicerContext
    ) -> None:
        limits = self._predictions.limits
        credit = ingest_pb2.Credit(max_batches=limits.credit_batches, max_predictions=limits.credit_predictions)
        opening = await _opening(context.read, limits.idle_seconds)
        session_id, sender_id = _uuid(opening.session_id, "session_id"), _sender_id(opening.sender_id)
        async with self._predictions.stream(current_caller(), session_id, sender_id) as stream:

            async def write(answer: Answer) -> None:
                await context.write(to_answer(answer, credit if stream.has_credit else _NO_CREDIT))

            server_time = self._clock()
            clock = to_clock(stream.heartbeats.opened(opening, server_time))
            opened = ingest_pb2.StreamOpened(credit=credit, server_time=to_timestamp(server_time), clock=clock)
            await context.write(ingest_pb2.StreamPredictionsResponse(opened=opened))
            await stream.serve(context.read, write, current_drain())

    def _to_session(self, session: Session) -> ingest_pb2.Session:
        return to_session(session, self._sessions.grace)


async def _opening(read: Read, idle_seconds: float) -> ingest_pb2.OpenStream:
    """The first message. STREAM_NOT_OPENED, STREAM_IDLE, INVALID_FIELD."""
    try:
        async with asyncio.timeout(idle_seconds):
            message = await read()
    except TimeoutError as error:
        raise AppError(ErrorKind.DEADLINE_EXCEEDED, "STREAM_IDLE", "nothing was sent for too long") from error
    request = parse_request(message) if message is not EOF else None
    if request is None or not request.HasField("open"):
        raise AppError(ErrorKind.INVALID_ARGUMENT, "STREAM_NOT_OPENED", "the first message opens")
    _validator.check(request.open)
    return request.open


def _uuid(value: str, field: str) -> UUID:
    try:
        return UUID(value)
    except ValueError as error:
        raise AppError(ErrorKind.INVALID_ARGUMENT, "INVALID_FIELD", "not a UUID", field=field) from error


def _sender_id(value: str) -> UUID | None:
    return _uuid(value, "sender_id") if value else None
