"""Months of sessions get partitions of their own, made and dropped by the owner's functions on behalf of the slice."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta

import asyncpg
import pytest

from libs.common.db import partitions
from libs.common.db.database import Database
from libs.common.db.roles import dsn_for, slice_role
from libs.common.rpc.errors import AppError
from quietus_edge.ids import uuid7
from tests.common.db.months import SCHEMA, add, count, database_with_months, leaves
from tests.support import postgres

NOW = datetime(2026, 1, 31, 23, 59, tzinfo=UTC)
FIRST_MONTH = date(2025, 11, 1)
JANUARY = date(2026, 1, 1)
LONG_AGO = date(2020, 3, 1)
# Locks that would make somebody wait who reads or writes.
LOCKED = """
SELECT relname, mode FROM pg_locks JOIN pg_class c ON c.oid = relation
WHERE pid = pg_backend_pid() AND c.relnamespace = 'ingest'::regnamespace AND relkind IN ('r', 'p')
AND mode NOT IN ('AccessShareLock', 'RowShareLock', 'RowExclusiveLock')
"""


@pytest.fixture
async def dsn(postgres_admin_dsn: str) -> AsyncIterator[str]:
    async with database_with_months(postgres_admin_dsn) as dsn:
        yield dsn


@pytest.fixture
async def database(dsn: str) -> AsyncIterator[Database]:
    database = Database(dsn_for(dsn, slice_role(SCHEMA)), SCHEMA, 3)
    yield database
    await database.close()


async def ensure(database: Database, first_month: date = FIRST_MONTH, months: int = 4) -> int:
    async with database.transaction() as tx:
        return await partitions.ensure_partitions(tx, first_month, months)


async def drop(database: Database, first_month_kept: date = JANUARY, zone: str = "UTC") -> str | None:
    async with database.transaction() as tx:
        await tx.execute(f"SET LOCAL timezone = '{zone}'")
        return await partitions.drop_partitions(tx, first_month_kept)


async def test_makes_what_lacks_once(database: Database) -> None:
    assert await ensure(database) == 8
    assert await ensure(database) == 0
    expected = ["notes_202511", "notes_202512", "notes_202601", "notes_202602", "notes_default"]
    assert await leaves(database) == expected
    assert await ensure(database, date(2025, 12, 31)) == 2


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
    assert await ensure(database) == 8


async def test_two_at_once_make_each_once(database: Database) -> None:
    made = await asyncio.gather(ensure(database), ensure(database), return_exceptions=True)
    assert sum(number for number in made if isinstance(number, int)) == 8
    assert len(await leaves(database)) == 5


async def test_number_of_months_is_bounded(database: Database) -> None:
    with pytest.raises(AppError):
        await ensure(database, months=121)


async def test_drops_the_oldest_month_first_and_none_that_is_kept(database: Database) -> None:
    await ensure(database)
    months = [datetime(2025, 11, 30, tzinfo=UTC), datetime(2025, 12, 1, tzinfo=UTC), NOW]
    for moment in months:
        await add(database, uuid7(moment))
        await add(database, uuid7(moment), "results")
    assert [await drop(database) for _ in range(3)] == ["notes_202511", "notes_202512", None]
    assert await leaves(database) == ["notes_202601", "notes_202602", "notes_default"]
    assert await count(database, "notes") == 1
    assert await count(database, "results") == 3


async def test_a_drop_locks_nothing_but_its_own_table(database: Database) -> None:
    await ensure(database)
    async with database.transaction() as tx:
        await partitions.drop_partitions(tx, JANUARY)
        locked = {(row.relname, row.mode) for row in await tx.fetch_all(LOCKED)}
    assert locked == {("notes", "AccessExclusiveLock"), ("notes_default", "AccessExclusiveLock")}


async def test_a_late_row_of_a_dropped_month_is_taken(database: Database) -> None:
    await ensure(database)
    await drop(database)
    assert await add(database, uuid7(datetime(2025, 11, 30, tzinfo=UTC))) == "notes_default"


async def test_a_table_that_isnt_what_its_name_says_stays(database: Database, dsn: str) -> None:
    """Made by hand: two months in one, and a month under another's name."""
    bounds = {
        "notes_202511": (date(2025, 11, 1), date(2026, 1, 1)),
        "notes_202510": (date(2026, 1, 1), date(2026, 2, 1)),
    }
    for name, (start, end) in bounds.items():
        lower, upper = partitions.first_uuid7(start), partitions.first_uuid7(end)
        await postgres.execute(
            dsn,
            f"CREATE TABLE ingest.{name} PARTITION OF ingest.notes FOR VALUES FROM ('{lower}') TO ('{upper}')",
        )
    assert await drop(database, JANUARY) is None


@pytest.mark.parametrize("month", [None, date(2025, 12, 31), date(9999, 1, 1)], ids=["null", "mid-month", "far"])
async def test_what_nobody_may_drop_is_refused(database: Database, month: date | None) -> None:
    await ensure(database)
    with pytest.raises(AppError) as raised:
        await drop(database, month)  # type: ignore[arg-type]
    assert raised.value.reason == "DATABASE_ERROR"
    assert len(await leaves(database)) == 5


async def test_this_month_can_never_be_dropped(database: Database) -> None:
    """Not even by a process whose clock is wrong, or whose zone is another."""
    this_month = datetime.now(UTC).date().replace(day=1)
    await ensure(database, this_month, 1)
    for month in (this_month, partitions.month_after(this_month, 1), partitions.month_after(this_month, 12)):
        with pytest.raises(AppError):
            await drop(database, month, zone="Pacific/Kiritimati")
    assert len(await leaves(database)) == 2


async def test_tells_how_partitions_stand(database: Database) -> None:
    async with database.read() as tx:
        before = await partitions.partition_states(tx)
    await add(database, uuid7(NOW))
    await ensure(database, FIRST_MONTH, 2)
    async with database.read() as tx:
        after = await partitions.partition_states(tx)
    assert before == [partitions.PartitionState(table, 0, None) for table in ("notes", "results")]
    assert after == [
        partitions.PartitionState("notes", 1, JANUARY),
        partitions.PartitionState("results", 0, JANUARY),
    ]


async def test_partition_gives_no_rights_of_its_own(database: Database, dsn: str) -> None:
    await ensure(database)
    for role in (slice_role(SCHEMA), slice_role("fusion")):
        connection = await asyncpg.connect(dsn_for(dsn, role))
        for statement in ("SELECT * FROM ingest.notes_202601", "DROP TABLE ingest.notes_202601"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)
        await connection.close()


async def test_the_slice_drops_nothing_by_itself(database: Database, dsn: str) -> None:
    await ensure(database)
    connection = await asyncpg.connect(dsn_for(dsn, slice_role(SCHEMA)))
    for statement in (
        "DROP TABLE ingest.notes",
        "ALTER TABLE ingest.notes DETACH PARTITION ingest.notes_202601",
        "TRUNCATE ingest.notes",
        "CREATE OR REPLACE FUNCTION ingest.drop_partitions(date) RETURNS text LANGUAGE sql AS ''",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement)
    await connection.close()


@pytest.mark.parametrize(
    "call", ["ensure_partitions('2026-01-01', 1)", "drop_partitions('2020-01-01')", "partition_states()"]
)
async def test_nobody_else_may_call_the_functions(dsn: str, call: str) -> None:
    await postgres.execute(dsn, "GRANT USAGE ON SCHEMA ingest TO quietus_fusion")
    connection = await asyncpg.connect(dsn_for(dsn, slice_role("fusion")))
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.fetch(f"SELECT ingest.{call}")
    await connection.close()


def test_a_month_is_kept_as_long_as_one_of_its_days() -> None:
    at = datetime(2026, 7, 30, 12, tzinfo=UTC)
    assert partitions.first_month_kept(at, 90) == date(2026, 5, 1)
    assert partitions.first_month_kept(at - timedelta(days=1, hours=13), 90) == date(2026, 4, 1)
    assert partitions.first_month_kept(at, 1) == date(2026, 7, 1)
    assert partitions.first_month_kept(datetime(2026, 3, 1, tzinfo=UTC), 1) == date(2026, 2, 1)


def test_months_are_counted_over_years() -> None:
    assert partitions.month_after(date(2025, 11, 1), 2) == JANUARY
    assert partitions.month_after(JANUARY, -1) == date(2025, 12, 1)
    assert partitions.month_after(LONG_AGO, 12) == date(2021, 3, 1)


async def test_the_first_id_of_a_month_is_the_same_everywhere(database: Database) -> None:
    async with database.read() as tx:
        assert await tx.scalar("SELECT first_uuid7('2026-01-01')") == partitions.first_uuid7(JANUARY)
    assert uuid7(datetime(2025, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)) < partitions.first_uuid7(JANUARY)
    assert uuid7(datetime(2026, 1, 1, tzinfo=UTC)) >= partitions.first_uuid7(JANUARY)
