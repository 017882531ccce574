"""An ingest service in this process, behind a real channel."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import UUID, uuid4

import grpc
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from libs.common.db.database import Database
from libs.common.observability.metrics import Metrics
from libs.common.rpc.caller import Caller
from libs.common.rpc.client import bearer
from libs.common.rpc.server import Server, build_server
from libs.common.security.tokens import StaticVerifierKeys, TokenSigner, TokenVerifier
from libs.common.timestamps import to_timestamp
from quietus.common.v1.options_pb2 import ROLE_COUNSELOR, ROLE_DEVICE, ROLE_SERVICE, Role
from quietus.ingest.v1 import ingest_pb2
from quietus.ingest.v1.ingest_pb2_grpc import IngestServiceStub
from quietus.ingest.v1.predictions_pb2 import Prediction, PredictionBatch
from quietus.ingest.v1.sessions_pb2 import Heartbeat, HeartbeatAnswer
from quietus_edge.ids import uuid7
from services.ingest.app import make_parts
from services.ingest.service.activity import Activity
from services.ingest.settings import IngestSettings
from tests.ingest import make

KEY_ID = "test"
PRIVATE_KEY = Ed25519PrivateKey.generate()
SIGNER = TokenSigner(PRIVATE_KEY, KEY_ID)
VERIFIER = TokenVerifier(StaticVerifierKeys({KEY_ID: PRIVATE_KEY.public_key()}))
# Longer than anything here takes: a bound on a hanging test, not a measurement.
PATIENCE_SECONDS = 60.0

Metadata = tuple[tuple[str, str], ...]


def token(
    user_id: UUID,
    anonymous_id: str,
    role: "Role.ValueType" = ROLE_DEVICE,
    expires_in: timedelta = timedelta(hours=1),
    device_id: str | None = None,
) -> Metadata:
    caller = Caller(user_id, role, frozenset(), anonymous_id, device_id, None, datetime.now(UTC) + expires_in)
    return bearer(SIGNER.sign(caller))


def service_token(service: str = "fusion") -> Metadata:
    expires_at = datetime.now(UTC) + timedelta(hours=1)
    return bearer(SIGNER.sign(Caller(None, ROLE_SERVICE, frozenset(), "", None, service, expires_at)))


@dataclass
class Person:
    """Somebody with a device."""

    stub: IngestServiceStub
    user_id: UUID
    anonymous_id: str
    metadata: Metadata

    async def start_session(self, start_time: datetime | None = None) -> UUID:
        start_time = start_time or make.now()
        session_id = uuid7(start_time)
        request = ingest_pb2.StartSessionRequest(session_id=str(session_id), start_time=to_timestamp(start_time))
        await self.stub.StartSession(request, metadata=self.metadata)
        return session_id

    async def end_session(self, session_id: UUID) -> None:
        request = ingest_pb2.EndSessionRequest(session_id=str(session_id), end_time=to_timestamp(make.now()))
        await self.stub.EndSession(request, metadata=self.metadata)

    async def record(self, session_id: UUID, batch: PredictionBatch) -> ingest_pb2.BatchOutcome:
        request = ingest_pb2.RecordPredictionsRequest(session_id=str(session_id), batch=batch)
        return (await self.stub.RecordPredictions(request, metadata=self.metadata)).outcome

    async def stream(self, session_id: UUID) -> "Stream":
        stream = Stream(self.stub.StreamPredictions(metadata=self.metadata, timeout=PATIENCE_SECONDS))
        await stream.open(session_id)
        return stream


class Stream:
    """A client's end of StreamPredictions."""

    def __init__(self, call: grpc.aio.StreamStreamCall) -> None:
        self.call = call
        self.credit = ingest_pb2.Credit()

    async def open(self, session_id: UUID) -> None:
        await self.call.write(
            ingest_pb2.StreamPredictionsRequest(open=ingest_pb2.OpenStream(session_id=str(session_id)))
        )
        self.credit = (await self.read()).opened.credit

    async def send(self, number: int, predictions: Sequence[Prediction]) -> None:
        await self.call.write(ingest_pb2.StreamPredictionsRequest(batch=make.batch(number, predictions)))

    async def beat(self, heartbeat: Heartbeat) -> HeartbeatAnswer:
        await self.call.write(ingest_pb2.StreamPredictionsRequest(heartbeat=heartbeat))
        return (await self.read()).heartbeat

    async def read(self) -> ingest_pb2.StreamPredictionsResponse:
        """Raises grpc.aio.AioRpcError with what the stream ended with."""
        response = await self.call.read()
        if response is grpc.aio.EOF:
            raise await ended(self.call)
        return response

    async def acknowledged(self, through: int) -> list[ingest_pb2.BatchOutcome]:
        """Reads until this batch is durable; the outcomes that were told on the way."""
        outcomes: list[ingest_pb2.BatchOutcome] = []
        while True:
            acknowledgement = (await self.read()).acknowledgement
            outcomes.extend(acknowledgement.outcomes)
            if acknowledgement.through_batch_number >= through:
                return outcomes

    async def error(self) -> grpc.RpcError:
        """Reads on until the stream ends, and tells with what."""
        try:
            while await self.call.read() is not grpc.aio.EOF:
                pass
        except grpc.aio.AioRpcError as error:
            return error
        return await ended(self.call)


async def ended(call: grpc.aio.StreamStreamCall) -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(
        await call.code(), await call.initial_metadata(), await call.trailing_metadata(), await call.details()
    )


class Suite:
    def __init__(
        self, server: Server, database: Database, activity: Activity, channel: grpc.aio.Channel, address: str
    ) -> None:
        self.server = server
        self.activity = activity
        self.database = database
        self.channel = channel
        self.address = address
        self.stub = IngestServiceStub(channel)

    def person(self, role: "Role.ValueType" = ROLE_DEVICE) -> Person:
        user_id = uuid4()
        anonymous_id = f"anon_{user_id.hex[:8]}"
        return Person(self.stub, user_id, anonymous_id, token(user_id, anonymous_id, role))

    def counselor(self) -> Person:
        return self.person(ROLE_COUNSELOR)

    async def count(self, table: str) -> int:
        async with self.database.read() as tx:
            total: int = await tx.scalar(f"SELECT count(*) FROM {table}")  # noqa: S608 - a test's own table name
        return total

    async def execute(self, statement: str, parameters: Mapping[str, object]) -> None:
        async with self.database.transaction() as tx:
            await tx.execute(statement, parameters)


@asynccontextmanager
async def running(database: Database, **settings: object) -> AsyncIterator[Suite]:
    metrics = Metrics("ingest")
    configured = IngestSettings(port=0, **settings)  # type: ignore[arg-type]
    parts = make_parts(configured, database, metrics)
    server = build_server(configured, parts.server, VERIFIER, metrics)
    background = [
        asyncio.create_task(work())
        for work in (
            parts.committer.run,
            parts.tail.run,
            parts.availability.run,
            partial(parts.availability.follow, server.set_able),
        )
    ]
    port = await server.start()
    await server.set_serving(True)
    address = f"127.0.0.1:{port}"
    options = (("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1))
    async with grpc.aio.insecure_channel(address, options=options) as channel:
        yield Suite(server, database, parts.activity, channel, address)
    await server.drain(0.1)
    for task in background:
        task.cancel()
    await asyncio.gather(*background, return_exceptions=True)
