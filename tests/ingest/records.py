"""What devices record beside predictions, as an edge app makes it, and how its refusals are read."""

from collections.abc import Awaitable
from datetime import UTC, datetime
from uuid import UUID

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from google.rpc.error_details_pb2 import BadRequest
from grpc_status import rpc_status

from libs.common.rpc.errors import reason_of
from quietus_edge.sealing import SealingKey, seal, unseal
from services.ingest.store import sealing_keys
from tests.ingest.suite import Person, Suite

PRIVATE_KEY = X25519PrivateKey.generate()
KEY = SealingKey("key-1", PRIVATE_KEY.public_key().public_bytes_raw())
WORDS = "marigold sentence"


def sealed_for(person: Person, table: str, row_id: str) -> bytes:
    """As the edge seals."""
    return seal(WORDS, KEY, table=table, user_id=person.user_id, row_id=UUID(row_id))


# As long as sealed words may be, and more of them than one answer may hold.
LONGEST = b"\0\1k" + bytes(65_533)
MANY = 70
ANSWER_MAX_BYTES = 4 * 1024 * 1024


def opened(sealed: bytes, person: Person, table: str, row_id: str) -> str:
    private_key = PRIVATE_KEY.private_bytes_raw()
    return unseal(sealed, private_key, table=table, user_id=person.user_id, row_id=UUID(row_id))


async def give_key(suite: Suite, person: Person) -> None:
    """As identity's feed tells it."""
    statement = "INSERT INTO users (user_id, anonymous_id) VALUES (:user_id, :name) ON CONFLICT DO NOTHING"
    await suite.execute(statement, {"user_id": person.user_id, "name": person.anonymous_id})
    async with suite.database.transaction() as tx:
        await sealing_keys.put(tx, person.user_id, KEY, datetime.now(UTC))


async def care_for(suite: Suite, counselor: Person, person: Person) -> None:
    await suite.execute(
        "INSERT INTO care_assignments (counselor_id, user_id, assign_time) VALUES (:counselor_id, :user_id, now())",
        {"counselor_id": counselor.user_id, "user_id": person.user_id},
    )


async def refusal(call: Awaitable[object]) -> tuple[str, str, list[str]]:
    """Status, reason and the fields that are named."""
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call
    return refusal_of(refused.value)


def refusal_of(error: grpc.RpcError) -> tuple[str, str, list[str]]:
    status, named = rpc_status.from_call(error), BadRequest()
    for detail in status.details if status else ():
        detail.Unpack(named)
    return error.code().name, reason_of(error), [violation.field for violation in named.field_violations]


async def written(suite: Suite) -> str:
    """All that the tables of records and the outbox hold, as text that words would be found in."""
    found = []
    async with suite.database.read() as tx:
        for table in ("analysis_records", "voice_sessions", "video_analysis_events", "outbox", "audit_logs"):
            rows = await tx.fetch_all(f"SELECT * FROM {table}")  # noqa: S608 - names of tables of ours
            found += [repr(tuple(row)) for row in rows]
    return "\n".join(found)
