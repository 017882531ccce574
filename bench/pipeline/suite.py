"""A whole suite of the bench's own, and people whose devices may send."""

import asyncio
import secrets
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING
from uuid import uuid4

import asyncpg
import grpc

from bench.pipeline.load import Person
from deploy.demo.suite import Suite, connected, free_ports
from deploy.local.plan import Plan
from deploy.local.supervisor import Supervisor
from libs.common.rpc.client import bearer
from libs.common.timestamps import to_timestamp
from quietus.common.v1.options_pb2 import ROLE_USER
from quietus.identity.v1 import identity_pb2 as identity
from quietus.identity.v1.identity_pb2_grpc import DeviceServiceStub, TokenServiceStub, UserServiceStub
from quietus.ingest.v1.ingest_pb2 import StartSessionRequest
from quietus.ingest.v1.ingest_pb2_grpc import IngestServiceStub
from quietus_edge.ids import uuid7

if TYPE_CHECKING:
    from quietus.ingest.v1.ingest_pb2_grpc import IngestServiceAsyncStub

CALL_SECONDS = 30
WRITE_BACK_SECONDS = 60
# Each creation hashes a password with 64 MiB; identity refuses more than it has patience for.
CREATIONS_AT_ONCE = 8
STARTS_AT_ONCE = 64
# Windows of five seconds are sent faster than they are lived.
SESSION_AGE = timedelta(hours=6)


@dataclass(frozen=True)
class DeviceToken:
    anonymous_id: str
    token: str = field(repr=False)
    api_key: str = field(repr=False)


@dataclass(frozen=True)
class BenchSuite:
    suite: Suite
    supervisor: Supervisor

    async def make_people(self, count: int) -> Sequence[DeviceToken]:
        turn = asyncio.Semaphore(CREATIONS_AT_ONCE)
        return await asyncio.gather(*(self._make_person(turn) for _ in range(count)))

    async def _make_person(self, turn: asyncio.Semaphore) -> DeviceToken:
        channel, operator = self.suite.channels["identity"], self.suite.operator
        request = identity.CreateUserRequest(
            request_id=str(uuid4()),
            email=f"bench-{uuid4().hex}@example.org",
            password=secrets.token_urlsafe(16),
            role=ROLE_USER,
        )
        async with turn:
            made = await UserServiceStub(channel).CreateUser(request, metadata=operator, timeout=CALL_SECONDS)
        device = await DeviceServiceStub(channel).RegisterDevice(
            identity.RegisterDeviceRequest(request_id=str(uuid4()), anonymous_id=made.user.anonymous_id, name="bench"),
            metadata=operator,
            timeout=CALL_SECONDS,
        )
        return DeviceToken(made.user.anonymous_id, await self._token(device.api_key), device.api_key)

    async def renewed(self, people: Sequence[DeviceToken]) -> Sequence[DeviceToken]:
        """With new tokens: one lives a quarter of an hour."""
        tokens = await asyncio.gather(*(self._token(person.api_key) for person in people))
        return [replace(person, token=token) for person, token in zip(people, tokens, strict=True)]

    async def _token(self, api_key: str) -> str:
        request = identity.ExchangeApiKeyRequest(api_key=api_key)
        stub = TokenServiceStub(self.suite.channels["identity"])
        return (await stub.ExchangeApiKey(request, timeout=CALL_SECONDS)).token.access_token

    async def start_sessions(
        self, people: Sequence[DeviceToken], channel: grpc.aio.Channel | None = None
    ) -> Sequence[Person]:
        """One for each time that somebody is among them; `channel` leads to another ingest than the suite's."""
        turn = asyncio.Semaphore(STARTS_AT_ONCE)
        stub = IngestServiceStub(channel or self.suite.channels["ingest"])
        return await asyncio.gather(*(self._start_session(stub, person, turn) for person in people))

    async def _start_session(
        self, stub: "IngestServiceAsyncStub", person: DeviceToken, turn: asyncio.Semaphore
    ) -> Person:
        start = datetime.now(UTC) - SESSION_AGE
        session_id = str(uuid7(start))
        request = StartSessionRequest(session_id=session_id, start_time=to_timestamp(start))
        async with turn:
            await stub.StartSession(request, metadata=bearer(person.token), timeout=CALL_SECONDS)
        return Person(session_id, person.anonymous_id, person.token)

    async def stop(self, *services: str) -> None:
        await asyncio.gather(*(child.stop() for child in self.supervisor.children if child.name in services))


@asynccontextmanager
async def bench_suite(environment: Mapping[str, str] = MappingProxyType({})) -> AsyncIterator[BenchSuite]:
    """On free ports, in a folder that goes with it; `environment` is added to that of every service."""
    with tempfile.TemporaryDirectory(prefix="quietus-bench-") as folder:
        plan = Plan(Path(folder), free_ports(), environment)
        supervisor = Supervisor(plan)
        try:
            await supervisor.start()
            async with connected(plan) as suite:
                yield BenchSuite(suite, supervisor)
        finally:
            await supervisor.stop()


async def write_back(dsn: str) -> None:
    """Nobody pays for what was written before."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute("CHECKPOINT", timeout=WRITE_BACK_SECONDS)
    finally:
        await connection.close()
