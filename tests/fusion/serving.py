"""Fusion over a real channel, and who calls it."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from libs.common.db.database import Database
from libs.common.feed.tail import Tail
from libs.common.observability.metrics import Metrics
from libs.common.rpc.caller import Caller
from libs.common.rpc.client import Metadata, bearer
from libs.common.rpc.server import build_server
from libs.common.security.tokens import StaticVerifierKeys, TokenSigner, TokenVerifier
from quietus.common.v1.options_pb2 import ROLE_ADMIN, ROLE_USER, Role
from quietus_edge.errors import reason_of
from services.fusion.app import make_parts
from services.fusion.fold import Models
from services.fusion.settings import FusionSettings
from tests.fusion import make

PRIVATE_KEY = Ed25519PrivateKey.generate()
SIGNER = TokenSigner(PRIVATE_KEY, "test")
VERIFIER = TokenVerifier(StaticVerifierKeys({"test": PRIVATE_KEY.public_key()}))
COUNSELOR_ID = uuid4()


def token(user_id: UUID | None, role: "Role.ValueType" = ROLE_USER) -> Metadata:
    name = "" if user_id is None else f"anon_{user_id.hex[-4:]}"
    expires_at = datetime.now(UTC) + timedelta(hours=1)
    return bearer(SIGNER.sign(Caller(user_id, role, frozenset(), name, None, None, expires_at)))


OWN = token(make.USER_ID)
ADMIN = token(UUID("00000000-0000-4000-8000-00000000ad01"), ROLE_ADMIN)


@contextmanager
def refused(status: grpc.StatusCode, reason: str) -> Iterator[None]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        yield
    assert (caught.value.code(), reason_of(caught.value)) == (status, reason)


@asynccontextmanager
async def serving(database: Database, models: Models) -> AsyncIterator[grpc.aio.Channel]:
    metrics = Metrics("fusion")
    settings = FusionSettings(port=0)
    server = build_server(settings, make_parts(settings, database, models, Tail(database, metrics)), VERIFIER, metrics)
    port = await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel
    await server.drain(0.1)


async def take_into_care(database: Database) -> None:
    async with database.transaction() as tx:
        await tx.execute(
            "INSERT INTO care_assignments (counselor_id, user_id, assign_time) VALUES (:counselor, :person, now())",
            {"counselor": COUNSELOR_ID, "person": make.USER_ID},
        )
