"""Months of sessions get partitions of their own, made by the owner's function on behalf of the slice."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from uuid import UUID

import asyncpg
import pytest
from sqlalchemy import Connection, NullPool
from sqlalchemy.ext.asyncio import create_async_engine

from libs.common.db import grants, partitions
from libs.common.db.database import Database, Transaction
from libs.common.db.roles import OWNER_ROLE, driver_url, dsn_for, slice_role
from libs.common.rpc.errors import AppError, ErrorKind
from quietus_edge.ids import uuid7
from tests.support import postgres

SCHEMA = "ingest"
NOW = datetime(2026, 1, 31, 23, 59, tzinfo=UTC)
LEAVES = "SELECT relname FROM pg_partition_tree('notes') JOIN pg_class ON oid = relid WHERE isleaf ORDER BY relname"


class Operations:
    """What a migration's `op` does here."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def execute(self, statement: str) -> None:
        self._connection.exec_driver_sql(statement)


def migrate(connection: Connection) -> None:
    for slice_name in (SCHEMA, "fusion"):
        grants.create_roles(connection, slice_name, {})
    grants.create_schema(connection, SCHEMA)
    op = Operations(connection)
    op.execute(f"SET LOCAL ROLE {OWNER_ROLE}")
    op.execute(f"CREATE TABLE {SCHEMA}.sessions (id uuid PRIMARY KEY)")
    op.execute(
        f"CREATE TABLE {SCHEMA}.notes (session_id uuid NOT NULL REFERENCES {SCHEMA}.sessions ON DELETE CASCADE,"
        " id uuid NOT NULL, note text, PRIMARY KEY (session_id, id)) PARTITION BY RANGE (session_id)"
    )
    partitions.create_partitioning(op, SCHEMA, ["notes"])
    grants.grant_rights(connection, SCHEMA)


@pytest.fixture
async def dsn(postgres_admin_dsn: str) -> AsyncIterator[str]:
    """A database with one partitioned table."""
    dsn = await postgres.create_database(postgres_admin_dsn, "template1")
    async with create_async_engine(driver_url(dsn), poolclass=NullPool).begin() as connection:
        await connection.run_sync(migrate)
    yield dsn
    await postgres.drop_database(postgres_admin_dsn, dsn)


@pytest.fixture
async def database(dsn: str) -> AsyncIterator[Database]:
    database = Database(dsn_for(dsn, slice_role(SCHEMA)), SCHEMA, 3)
    yield database
    await database.close()


async def add(database: Database, session_id: UUID) -> str:
    """The partition that took the row."""
    async with database.transaction() as tx:
        values = {"session_id": session_id, "id": uuid7()}
        await tx.execute("INSERT INTO sessions (id) VALUES (:session_id)", values)
        found: str = await tx.scalar(
            "INSERT INTO notes (session_id, id) VALUES (:session_id, :id) RETURNING tableoid::regclass::text", values
        )
        return found


async def ensure(database: Database, now: datetime = NOW) -> int:
    async with database.transaction() as tx:
        return await partitions.ensure_partitions(tx, now, months_back=2, months_ahead=1)


async def leaves(database: Database) -> list[str]:
    async with database.read() as tx:
        return [row.relname for row in await tx.fetch_all(LEAVES)]


async def test_makes_what_lacks_once(database: Database) -> None:
    assert await ensure(database) == 4
    assert await ensure(database) == 0
    expected = ["notes_202511", "notes_202512", "notes_202601", "notes_202602", "notes_default"]
    assert await leaves(database) == expected
    assert await ensure(database, datetime(2026, 2, 1, tzinfo=UTC)) == 1


async def test_session_lands_in_the_month_of_its_id(database: Database) -> None:
    await ensure(database)
    first_instant, last_instant = (
        datetime(2026, 1, 1, tzinfo=UTC),
        datetime(2026, 1, 31, 23, 59, 59, 999_000, tzinfo=UTC),
    )
    assert await add(database, uuid7(first_instant)) == "notes_202601"
    assert await add(database, uuid7(last_instant)) == "notes_202601"
    assert await add(database, uuid7(datetime(2026, 2, 1, tzinfo=UTC))) == "notes_202602"
    assert await add(database, uuid7(datetime(2020, 1, 1, tzinfo=UTC))) == "notes_default"


async def test_rows_that_came_too_early_move_with_their_month(database: Database) -> None:
    session_id = uuid7(NOW)
    assert await add(database, session_id) == "notes_default"
    await ensure(database)
    async with database.transaction() as tx:
        assert await tx.scalar("SELECT tableoid::regclass::text FROM notes") == "notes_202601"
        await tx.execute("DELETE FROM sessions")
        assert await tx.scalar("SELECT count(*) FROM notes") == 0


async def test_gives_up_soon_when_somebody_writes_and_succeeds_later(database: Database) -> None:
    async with database.transaction() as tx:
        values = {"session_id": uuid7(NOW), "id": uuid7()}
        await tx.execute("INSERT INTO sessions (id) VALUES (:session_id)", values)
        await tx.execute("INSERT INTO notes (session_id, id) VALUES (:session_id, :id)", values)
        with pytest.raises(AppError) as raised:
            await ensure(database)
    assert raised.value.reason == "DATABASE_BUSY"
    assert await ensure(database) == 4


async def test_two_at_once_make_each_once(database: Database) -> None:
    made = await asyncio.gather(ensure(database), ensure(database), return_exceptions=True)
    assert sum(number for number in made if isinstance(number, int)) == 4
    assert len(await leaves(database)) == 5


async def test_job_tries_again_until_nobody_is_in_the_way(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    outcomes = iter([AppError(ErrorKind.UNAVAILABLE, "DATABASE_BUSY"), None])

    async def ensure_once(tx: Transaction) -> None:
        if outcome := next(outcomes):
            raise outcome

    async def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            raise asyncio.CancelledError

    monkeypatch.setattr(partitions, "ensure_partitions", ensure_once)
    monkeypatch.setattr(partitions, "sleep", pause)
    with pytest.raises(asyncio.CancelledError):
        await partitions.keep_partitions(database)
    assert pauses == [partitions.AGAIN_SECONDS, partitions.EVERY_SECONDS]


async def test_partition_gives_no_rights_of_its_own(database: Database, dsn: str) -> None:
    await ensure(database)
    for role in (slice_role(SCHEMA), slice_role("fusion")):
        connection = await asyncpg.connect(dsn_for(dsn, role))
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.fetch("SELECT * FROM ingest.notes_202601")
        await connection.close()


async def test_nobody_else_may_make_partitions(dsn: str) -> None:
    connection = await asyncpg.connect(dsn_for(dsn, slice_role("fusion")))
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.fetch("SELECT ingest.ensure_partitions('2026-01-01', 1)")
    await connection.close()


async def test_number_of_months_is_bounded(database: Database) -> None:
    with pytest.raises(AppError):
        async with database.transaction() as tx:
            await partitions.ensure_partitions(tx, NOW, months_back=0, months_ahead=120)
