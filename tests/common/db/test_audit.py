"""The audit log can be appended to, and whoever changes it is found out."""

import asyncio
from uuid import UUID, uuid4

import pytest

from libs.common.db.audit import ChainBrokenError, append_audit, verify_chain
from libs.common.db.database import Database
from libs.common.rpc.errors import AppError
from tests.conftest import MakeDatabase
from tests.support import postgres

PERSON = UUID("00000000-0000-4000-8000-000000000001")


@pytest.fixture
def database(make_database: MakeDatabase) -> Database:
    return make_database("alerts")


async def audit(database: Database, user_id: UUID | None = PERSON) -> None:
    async with database.transaction() as tx:
        await append_audit(
            tx,
            user_id=user_id,
            actor="service:alerts",
            action="read",
            resource_type="alert",
            resource_id=uuid4(),
            metadata={"pages": 2, "why": "duty", "first": True, "none": None},
        )


async def verified(database: Database) -> int:
    async with database.read() as tx:
        return await verify_chain(tx)


async def test_empty_log_verifies(database: Database) -> None:
    assert await verified(database) == 0


async def test_chain_holds_however_transactions_race(make_database: MakeDatabase) -> None:
    database = make_database("alerts", pool_size=8)
    people = [uuid4() for _ in range(3)] + [None]
    await asyncio.gather(*(audit(database, people[number % 4]) for number in range(40)))
    assert await verified(database) == 40


async def test_several_entries_of_one_transaction_are_chained(database: Database) -> None:
    async with database.transaction() as tx:
        for person in (uuid4(), PERSON, None, PERSON):
            await append_audit(tx, user_id=person, actor="a", action="b", resource_type="c")
    assert await verified(database) == 4


async def test_rolled_back_transaction_leaves_no_gap(database: Database) -> None:
    async def fail() -> None:
        async with database.transaction() as tx:
            await append_audit(tx, user_id=PERSON, actor="a", action="b", resource_type="c")
            raise KeyError

    await audit(database)
    with pytest.raises(KeyError):
        await fail()
    await audit(database)
    assert await verified(database) == 2


async def test_what_a_read_audits_is_kept(database: Database) -> None:
    async with database.read() as tx:
        await append_audit(tx, user_id=PERSON, actor="counselor:someone", action="read", resource_type="alert")
    assert await verified(database) == 1


@pytest.mark.parametrize(
    "tampering",
    [
        "UPDATE alerts.audit_logs SET action = 'nothing' WHERE id = 2",
        "UPDATE alerts.audit_logs SET metadata = '{}' WHERE id = 2",
        "UPDATE alerts.audit_logs SET created_at = created_at - interval '1 microsecond' WHERE id = 1",
        "UPDATE alerts.audit_logs SET user_id = gen_random_uuid() WHERE id = 2",
        "UPDATE alerts.audit_logs SET person_hash = sha256('') WHERE id = 2",
        "DELETE FROM alerts.audit_logs WHERE id = 1",
        "DELETE FROM alerts.audit_logs WHERE id = 2",
        "DELETE FROM alerts.audit_logs WHERE id = 3",
        "UPDATE alerts.audit_logs SET id = 4 WHERE id = 1",
    ],
)
async def test_tampering_is_found(database: Database, fresh_dsn: str, tampering: str) -> None:
    for _ in range(3):
        await audit(database)
    await postgres.execute(fresh_dsn, tampering)
    with pytest.raises(ChainBrokenError):
        await verified(database)


async def test_chain_outlives_the_person(database: Database, fresh_dsn: str) -> None:
    for person in (PERSON, uuid4(), PERSON):
        await audit(database, person)
    await postgres.execute(fresh_dsn, "UPDATE alerts.audit_logs SET user_id = NULL")
    await postgres.execute(fresh_dsn, "DELETE FROM alerts.audit_salts")
    assert await verified(database) == 3


@pytest.mark.parametrize("statement", ["UPDATE audit_logs SET action = ''", "DELETE FROM audit_logs"])
async def test_slice_itself_can_only_append(database: Database, statement: str) -> None:
    await audit(database)
    with pytest.raises(AppError):
        async with database.transaction() as tx:
            await tx.execute(statement)
    assert await verified(database) == 1
