"""Identity and ingest in memory, for the edge's side of the protocol: they do what they are told, wrong things too."""

# ruff: noqa: N802  # gRPC methods are named as in the contract
import asyncio
import base64
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from quietus.identity.v1 import identity_pb2 as identity
from quietus.identity.v1 import identity_pb2_grpc as identity_grpc
from quietus.ingest.v1 import ingest_pb2 as ingest
from quietus.ingest.v1 import ingest_pb2_grpc as ingest_grpc
from quietus.ingest.v1.sessions_pb2 import ClockEstimate, Heartbeat, HeartbeatAnswer
from quietus_edge.sealing import KeyPair

API_KEY = "a device's key"

Refuse = Callable[[Any], "tuple[str, ingest.RefusalReason] | None"]


class FakeSuite(
    ingest_grpc.IngestServiceServicer, identity_grpc.TokenServiceServicer, identity_grpc.KeyServiceServicer
):
    """`stored` counts how often each (session, chunk, modality) was taken; `batches` lists what came, by session."""

    def __init__(self) -> None:
        self.address = ""
        self.user_id = uuid4()
        self.key_pair: KeyPair | None = None
        self.credit = ingest.Credit(max_batches=8, max_predictions=256)
        self.refuse: Refuse = lambda _: None
        self.failures: list[tuple[str, grpc.StatusCode, str, dict[str, str]]] = []
        self.acknowledge = asyncio.Event()
        self.acknowledge.set()
        self.drain_after_batches: int | None = None
        # The next batch is taken, but not acknowledged: its stream breaks, and the session takes nothing more.
        self.ends_unacknowledged = False
        self.kept: dict[str, list[Any]] = {}
        self.started: dict[str, datetime] = {}
        self.ended: dict[str, datetime] = {}
        self.stored: Counter[tuple[str, str, str]] = Counter()
        self.predictions: list[Any] = []
        self.batches: dict[str, list[tuple[int, list[str]]]] = {}
        self.calls: Counter[str] = Counter()
        self.most_in_flight = 0
        self.senders: list[str] = []
        self.heartbeats: asyncio.Queue[tuple[str, Heartbeat]] = asyncio.Queue()
        self.clock: ClockEstimate | None = None
        self._server: grpc.aio.Server | None = None

    async def start(self, credentials: grpc.ServerCredentials | None = None) -> None:
        self._server = grpc.aio.server()
        ingest_grpc.add_IngestServiceServicer_to_server(self, self._server)
        identity_grpc.add_TokenServiceServicer_to_server(self, self._server)
        identity_grpc.add_KeyServiceServicer_to_server(self, self._server)
        address = self.address or "127.0.0.1:0"
        if credentials:
            port = self._server.add_secure_port(address, credentials)
        else:
            port = self._server.add_insecure_port(address)
        self.address = f"127.0.0.1:{port}"
        await self._server.start()

    async def stop(self) -> None:
        if self._server:
            await self._server.stop(None)

    def fail_next(self, method: str, code: grpc.StatusCode, reason: str = "", **metadata: str) -> None:
        self.failures.append((method, code, reason, metadata))

    async def ExchangeApiKey(self, request: identity.ExchangeApiKeyRequest, context: Any) -> Any:
        await self._enter("ExchangeApiKey", context)
        if request.api_key != API_KEY:
            await abort(context, grpc.StatusCode.UNAUTHENTICATED, "BAD_CREDENTIALS")
        claims = base64.urlsafe_b64encode(json.dumps({"sub": str(self.user_id)}).encode()).decode().rstrip("=")
        token = identity.AccessToken(access_token=f"e30.{claims}.c2ln")
        token.expire_time.FromDatetime(datetime.now(UTC) + timedelta(minutes=15))
        return identity.ExchangeApiKeyResponse(token=token)

    async def GetPublicKey(self, request: identity.GetPublicKeyRequest, context: Any) -> Any:
        await self._enter("GetPublicKey", context)
        if not self.key_pair:
            await abort(context, grpc.StatusCode.NOT_FOUND, "KEY_NOT_FOUND")
        assert self.key_pair
        return identity.GetPublicKeyResponse(key_id="key-1", public_key=self.key_pair.public_key)

    async def StartSession(self, request: ingest.StartSessionRequest, context: Any) -> Any:
        await self._enter("StartSession", context)
        self.started[request.session_id] = request.start_time.ToDatetime(tzinfo=UTC)
        return ingest.StartSessionResponse()

    async def EndSession(self, request: ingest.EndSessionRequest, context: Any) -> Any:
        await self._enter("EndSession", context)
        self.ended[request.session_id] = request.end_time.ToDatetime(tzinfo=UTC)
        return ingest.EndSessionResponse()

    async def ExportSession(self, request: ingest.ExportSessionRequest, context: Any) -> AsyncIterator[Any]:
        await self._enter("ExportSession", context)
        for prediction in self.kept.get(request.session_id, ()):
            stored = ingest.StoredPrediction(prediction=prediction)
            yield ingest.ExportSessionResponse(predictions=ingest.ExportedPredictions(predictions=[stored]))
        yield ingest.ExportSessionResponse(summary=ingest.ExportSummary())

    async def StreamPredictions(self, requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        await self._enter("StreamPredictions", context)
        opening = (await anext(requests)).open
        session_id = opening.session_id
        self.senders.append(opening.sender_id)
        yield ingest.StreamPredictionsResponse(opened=ingest.StreamOpened(credit=self.credit, clock=self.clock))
        waiting: asyncio.Queue[Any] = asyncio.Queue()
        reading = asyncio.create_task(self._read(requests, waiting))
        taken = 0
        try:
            while request := await waiting.get():
                if request.HasField("heartbeat"):
                    self.heartbeats.put_nowait((session_id, request.heartbeat))
                    answer = HeartbeatAnswer(client_time=request.heartbeat.client_time, clock=self.clock)
                    yield ingest.StreamPredictionsResponse(heartbeat=answer)
                    continue
                await self.acknowledge.wait()
                outcome = self._take(session_id, request.batch)
                if self.ends_unacknowledged:
                    self.ends_unacknowledged = False
                    self.fail_next("StreamPredictions", grpc.StatusCode.FAILED_PRECONDITION, "SESSION_ENDED")
                    await abort(context, grpc.StatusCode.UNAVAILABLE, "")
                acknowledgement = ingest.Acknowledgement(
                    through_batch_number=request.batch.batch_number, credit=self.credit
                )
                if outcome.duplicates or outcome.refusals:
                    acknowledgement.outcomes.append(outcome)
                yield ingest.StreamPredictionsResponse(acknowledgement=acknowledgement)
                taken += 1
                if taken == self.drain_after_batches:
                    yield ingest.StreamPredictionsResponse(drain=ingest.Drain())
        finally:
            reading.cancel()

    async def _read(self, requests: AsyncIterator[Any], waiting: "asyncio.Queue[Any]") -> None:
        async for request in requests:
            waiting.put_nowait(request)
            self.most_in_flight = max(self.most_in_flight, waiting.qsize())
        waiting.put_nowait(None)

    def _take(self, session_id: str, batch: Any) -> Any:
        outcome = ingest.BatchOutcome(batch_number=batch.batch_number)
        numbers = self.batches.setdefault(session_id, [])
        numbers.append((batch.batch_number, [one.chunk_id for one in batch.predictions]))
        for index, prediction in enumerate(batch.predictions):
            key = (session_id, prediction.chunk_id, str(prediction.WhichOneof("modality")))
            if refusal := self.refuse(prediction):
                outcome.refusals.add(index=index, field=refusal[0], reason=refusal[1])
            elif key in self.stored:
                outcome.duplicates += 1
            else:
                outcome.accepted += 1
                self.stored[key] += 1
                self.predictions.append(prediction)
                self.kept.setdefault(session_id, []).append(prediction)
        return outcome

    async def _enter(self, method: str, context: Any) -> None:
        self.calls[method] += 1
        for failure in self.failures:
            if failure[0] == method:
                self.failures.remove(failure)
                await abort(context, failure[1], failure[2], failure[3])


async def abort(context: Any, code: grpc.StatusCode, reason: str, metadata: dict[str, str] | None = None) -> None:
    status = Status(code=code.value[0], message="as told")
    detail = AnyMessage()
    detail.Pack(ErrorInfo(reason=reason, domain="quietus.dev", metadata=metadata or {}))
    status.details.append(detail)
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        status.details.add().Pack(RetryInfo(retry_delay=Duration(nanos=1_000_000)))
    trailing = (("grpc-status-details-bin", status.SerializeToString()),) if reason else ()
    await context.abort(code, "as told", trailing)


@asynccontextmanager
async def running_suite() -> AsyncIterator[FakeSuite]:
    suite = FakeSuite()
    await suite.start()
    try:
        yield suite
    finally:
        await suite.stop()


def session_ids(suite: FakeSuite) -> set[UUID]:
    return {UUID(session_id) for session_id, _, _ in suite.stored}
