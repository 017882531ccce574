"""From a person's word to a researcher's file: identity, its feed, ingest and the command, as they are put together."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from uuid import uuid4

import grpc
import pyarrow.parquet as pq
import pytest
from argon2 import PasswordHasher

from libs.common.db.database import Database
from libs.common.db.roles import dsn_for, slice_role
from libs.common.observability.metrics import Metrics
from libs.common.rpc.app import Running
from libs.common.rpc.client import Metadata, bearer, channel
from libs.common.timestamps import to_timestamp
from quietus.common.v1.options_pb2 import ROLE_USER
from quietus.identity.v1 import identity_pb2, identity_pb2_grpc
from quietus.ingest.v1 import ingest_pb2
from quietus.ingest.v1.ingest_pb2_grpc import IngestServiceStub
from quietus_edge.ids import uuid7
from services.identity import app as identity_app
from services.identity.bootstrap import bootstrap
from services.identity.passwords import Passwords
from services.identity.settings import IdentitySettings
from services.ingest import app, cli
from services.ingest.research import Months
from services.ingest.settings import IngestSettings
from tests.ingest import make

MONTHS = Months(make.now().date().replace(day=1), make.now().date().replace(day=1))
PASSWORD = "correct horse battery staple"


@asynccontextmanager
async def serving(running: Running) -> AsyncIterator[tuple[grpc.aio.Channel, str]]:
    address = f"127.0.0.1:{await running.server.start()}"
    background = [asyncio.create_task(work()) for work in running.background]
    async with channel(address) as connection:
        yield connection, address
    await running.server.drain(0)
    for task in background:
        task.cancel()
    await asyncio.gather(*background, return_exceptions=True)
    await running.close()


async def log_in(identity: grpc.aio.Channel, email: str, password: str) -> Metadata:
    request = identity_pb2.LogInRequest(email=email, password=password)
    return bearer((await identity_pb2_grpc.TokenServiceStub(identity).LogIn(request)).token.access_token)


async def new_person(identity: grpc.aio.Channel, admin: Metadata) -> tuple[str, Metadata]:
    email = f"{uuid4().hex}@example.org"
    request = identity_pb2.CreateUserRequest(request_id=str(uuid4()), email=email, password=PASSWORD, role=ROLE_USER)
    created = await identity_pb2_grpc.UserServiceStub(identity).CreateUser(request, metadata=admin)
    return created.user.anonymous_id, await log_in(identity, email, PASSWORD)


async def say(identity: grpc.aio.Channel, person: Metadata, granted: bool) -> None:
    request = identity_pb2.SetResearchConsentRequest(consent=granted)
    await identity_pb2_grpc.ConsentServiceStub(identity).SetResearchConsent(request, metadata=person)


async def record(ingest: grpc.aio.Channel, person: Metadata) -> None:
    stub, session_id, now = IngestServiceStub(ingest), str(uuid7()), make.now()
    start = ingest_pb2.StartSessionRequest(session_id=session_id, start_time=to_timestamp(now))
    await stub.StartSession(start, metadata=person)
    batch = ingest_pb2.RecordPredictionsRequest(session_id=session_id, batch=make.batch(1, make.chunk(now)))
    assert (await stub.RecordPredictions(batch, metadata=person)).outcome.accepted == 3


def exported(folder: Path) -> list[set[str]]:
    return [set(pq.read_table(file)["anonymous_id"].to_pylist()) for file in sorted(folder.iterdir())]


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


async def test_what_a_person_says_holds_for_the_next_export(
    fresh_dsn: str, tmp_path: Path, stack: AsyncExitStack
) -> None:
    passwords = Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    folders = {"state_dir": tmp_path, "secrets_dir": tmp_path / "secrets"}
    identity_settings = IdentitySettings(port=0, database_url=dsn_for(fresh_dsn, slice_role("identity")), **folders)
    database = Database(identity_settings.database_url, "identity", pool_size=1)
    await bootstrap(database, identity_settings, passwords)
    await database.close()
    identity_running = await identity_app.compose(identity_settings, Metrics("identity"), passwords)
    identity, identity_address = await stack.enter_async_context(serving(identity_running))
    settings = IngestSettings(
        port=0,
        database_url=dsn_for(fresh_dsn, slice_role("ingest")),
        identity_address=identity_address,
        **folders,
    )
    ingest, _ = await stack.enter_async_context(serving(await app.compose(settings, Metrics("ingest"))))
    admin = json.loads(identity_settings.admin_path.read_text())
    admin_metadata = await log_in(identity, admin["email"], admin["password"])
    willing, silent = [await new_person(identity, admin_metadata) for _ in range(2)]
    for _, metadata in (willing, silent):
        await record(ingest, metadata)

    await say(identity, willing[1], True)
    first = await cli.export(settings, MONTHS, tmp_path / "first")
    await say(identity, willing[1], False)
    second = await cli.export(settings, MONTHS, tmp_path / "second")

    assert (first.people, first.people_withheld, sum(first.rows.values()), first.rows_withheld) == (1, 1, 3, 3)
    assert exported(tmp_path / "first") == [{willing[0]}] * 3
    assert (second.people, second.people_withheld) == (0, 2)
    assert exported(tmp_path / "second") == [set()] * 3
