"""A running identity, as bootstrap left it, reached over a real channel."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import grpc
import pytest
import pytest_asyncio
from argon2 import PasswordHasher

from libs.common.db.database import Database
from libs.common.db.roles import dsn_for, slice_role
from libs.common.observability.metrics import Metrics
from libs.common.rpc.client import Metadata, bearer, channel
from quietus.common.v1.options_pb2 import ROLE_COUNSELOR, ROLE_USER, Role
from quietus.identity.v1 import identity_pb2, identity_pb2_grpc
from services.identity import app
from services.identity.bootstrap import bootstrap
from services.identity.passwords import Passwords
from services.identity.settings import IdentitySettings
from tests.conftest import MakeDatabase
from tests.support import postgres

PASSWORD = "correct horse battery staple"


@pytest.fixture(scope="session")
def passwords() -> Passwords:
    """Real hashes, with parameters that cost nothing."""
    return Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))


@pytest.fixture
def settings(fresh_dsn: str, tmp_path: Path) -> IdentitySettings:
    return settings_for(fresh_dsn, tmp_path)


def settings_for(admin_dsn: str, folder: Path) -> IdentitySettings:
    database_url = dsn_for(admin_dsn, slice_role("identity"))
    return IdentitySettings(port=0, database_url=database_url, state_dir=folder, secrets_dir=folder / "secrets")


@pytest.fixture
def database(make_database: MakeDatabase) -> Database:
    return make_database("identity")


@dataclass(frozen=True)
class Person:
    """Someone who was created over RPC and has logged in."""

    email: str
    anonymous_id: str
    token: str

    @property
    def metadata(self) -> Metadata:
        return bearer(self.token)


class Client:
    """The stubs of a running identity, and what most tests need done first."""

    def __init__(
        self, connection: grpc.aio.Channel, settings: IdentitySettings, database: Database, admin_token: str
    ) -> None:
        self.channel = connection
        self.settings = settings
        self.database = database
        self.admin = bearer(admin_token)
        self.users = identity_pb2_grpc.UserServiceStub(connection)
        self.tokens = identity_pb2_grpc.TokenServiceStub(connection)
        self.devices = identity_pb2_grpc.DeviceServiceStub(connection)
        self.keys = identity_pb2_grpc.KeyServiceStub(connection)
        self.consents = identity_pb2_grpc.ConsentServiceStub(connection)
        self.care = identity_pb2_grpc.CareServiceStub(connection)

    async def log_in(self, email: str, password: str = PASSWORD) -> str:
        answer = await self.tokens.LogIn(identity_pb2.LogInRequest(email=email, password=password))
        return answer.token.access_token

    async def person(self, role: Role.ValueType = ROLE_USER) -> Person:
        email = new_email()
        answer = await self.users.CreateUser(new_user(email, role), metadata=self.admin)
        return Person(email, answer.user.anonymous_id, await self.log_in(email))

    async def counselor(self) -> Person:
        return await self.person(ROLE_COUNSELOR)

    async def assign(self, counselor: Person, person: Person) -> None:
        request = identity_pb2.AssignCareRequest(
            counselor_anonymous_id=counselor.anonymous_id, anonymous_id=person.anonymous_id, consent=True
        )
        await self.care.AssignCare(request, metadata=self.admin)

    async def consent(self, person: Person, granted: bool) -> identity_pb2.ResearchConsent:
        request = identity_pb2.SetResearchConsentRequest(consent=granted)
        return (await self.consents.SetResearchConsent(request, metadata=person.metadata)).consent

    async def device(self, person: Person) -> identity_pb2.RegisterDeviceResponse:
        request = identity_pb2.RegisterDeviceRequest(request_id=str(uuid4()), name="phone")
        return await self.devices.RegisterDevice(request, metadata=person.metadata)

    async def exchange(self, api_key: str) -> str:
        answer = await self.tokens.ExchangeApiKey(identity_pb2.ExchangeApiKeyRequest(api_key=api_key))
        return answer.token.access_token


def new_email() -> str:
    return f"{uuid4().hex}@example.org"


def new_user(email: str, role: Role.ValueType = ROLE_USER, request_id: str = "") -> identity_pb2.CreateUserRequest:
    return identity_pb2.CreateUserRequest(
        request_id=request_id or str(uuid4()), email=email, password=PASSWORD, full_name="Amina Wanjiru", role=role
    )


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def client(
    postgres_admin_dsn: str, template_database: str, tmp_path_factory: pytest.TempPathFactory, passwords: Passwords
) -> AsyncIterator[Client]:
    """One identity for all tests over RPC: each makes people of its own, and none may count what others made."""
    dsn = await postgres.create_database(postgres_admin_dsn, template_database)
    settings = settings_for(dsn, tmp_path_factory.mktemp("identity"))
    database = Database(settings.database_url, "identity", pool_size=2)
    await bootstrap(database, settings, passwords)
    running = await app.compose(settings, Metrics("identity"), passwords)
    connection = channel(f"127.0.0.1:{await running.server.start()}")
    background = [asyncio.create_task(work()) for work in running.background]
    try:
        admin = json.loads(settings.admin_path.read_text())
        login = identity_pb2.LogInRequest(email=admin["email"], password=admin["password"])
        answer = await identity_pb2_grpc.TokenServiceStub(connection).LogIn(login)
        yield Client(connection, settings, database, answer.token.access_token)
    finally:
        await connection.close()
        await running.server.drain(0)
        for task in background:
            task.cancel()
        await asyncio.gather(*background, return_exceptions=True)
        await running.close()
        await database.close()
        await postgres.drop_database(postgres_admin_dsn, dsn)
