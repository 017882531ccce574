"""The job that keeps partitions, beside people who write all the time."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from libs.common.db import partition_keeper
from libs.common.db.audit import verify_chain
from libs.common.db.database import Database
from libs.common.db.partition_keeper import PartitionKeeper
from libs.common.db.roles import dsn_for, slice_role
from libs.common.observability.metrics import Metrics
from libs.common.rpc.errors import AppError, ErrorKind
from quietus_edge.ids import uuid7
from tests.common.db.months import SCHEMA, add, count, database_with_months, expire, leaves

RETENTION_DAYS = 90
WRITERS = 3
LONG_DAYS = 200
TAKE_TURN = "SELECT pg_advisory_xact_lock(hashtext('partition_keeper'), hashtext(current_schema()))"


@pytest.fixture
async def database(postgres_admin_dsn: str) -> AsyncIterator[Database]:
    async with database_with_months(postgres_admin_dsn) as dsn:
        database = Database(dsn_for(dsn, slice_role(SCHEMA)), SCHEMA, WRITERS + 2)
        yield database
        await database.close()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(SCHEMA)


def keeper(database: Database, metrics: Metrics, retention_days: int = RETENTION_DAYS) -> PartitionKeeper:
    return PartitionKeeper(database, metrics, retention_days, expire)


def days_ago(days: float) -> UUID:
    return uuid7(datetime.now(UTC) - timedelta(days=days))


async def add_old_months(database: Database) -> int:
    """Months that were made while retention was longer; how many are past it now."""
    await keeper(database, Metrics(SCHEMA), LONG_DAYS).keep()
    for days in range(0, LONG_DAYS, 5):
        await add(database, days_ago(days))
    before = len(await leaves(database))
    return before - len(await leaves_after(RETENTION_DAYS))


async def leaves_after(retention_days: int) -> list[str]:
    """What a database of its own would hold: the months from the first that is kept, two ahead, and DEFAULT."""
    month = datetime.now(UTC) - timedelta(days=retention_days)
    last = datetime.now(UTC)
    names = (last.year - month.year) * 12 + last.month - month.month + 1 + partition_keeper.MONTHS_AHEAD
    return ["month"] * names + ["default"]


async def until_done(attempt: PartitionKeeper) -> int:
    """As the job does, without its pauses: how often somebody was in the way."""
    for refused in range(50):
        try:
            await attempt.keep()
        except AppError as error:
            if error.reason != "DATABASE_BUSY":
                raise
            await asyncio.sleep(0.01)
        else:
            return refused
    raise AssertionError("never done")


class Writers:
    """Short transactions without a pause, until it is left. What fails fails the test."""

    def __init__(self, database: Database, session_id: Callable[[], UUID]) -> None:
        self._database = database
        self._session_id = session_id
        self._written = 0
        self._goal = 10 * WRITERS
        self._reached = asyncio.Event()
        self._stopping = False
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> "Writers":
        self._tasks = [asyncio.create_task(self._write()) for _ in range(WRITERS)]
        await self._more()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._goal, self._reached = self._written + 10 * WRITERS, asyncio.Event()
        await self._more()  # they still can
        self._stopping = True
        await asyncio.gather(*self._tasks)

    @property
    def committed(self) -> int:
        return self._written

    async def _more(self) -> None:
        reached = asyncio.create_task(self._reached.wait())
        await asyncio.wait((reached, *self._tasks), return_when=asyncio.FIRST_COMPLETED)
        reached.cancel()

    async def _write(self) -> None:
        while not self._stopping:
            await add(self._database, self._session_id())
            self._written += 1
            if self._written >= self._goal:
                self._reached.set()


async def test_makes_drops_and_forgets(database: Database, metrics: Metrics) -> None:
    past = await add_old_months(database)
    assert past > 1
    await keeper(database, metrics).keep()
    assert len(await leaves(database)) == len(await leaves_after(RETENTION_DAYS))
    assert len(await leaves(database, "results")) == len(await leaves_after(LONG_DAYS))
    left = await count(database, "sessions")
    assert left == await count(database, "notes")
    assert RETENTION_DAYS // 5 <= left < LONG_DAYS // 5
    sample = metrics.registry.get_sample_value
    assert sample("quietus_partitions_dropped_total") == past
    assert sample("quietus_sessions_expired_total") == LONG_DAYS // 5 - left
    assert sample("quietus_partition_default_rows", {"table": "notes"}) == 0
    until = sample("quietus_partitions_until_timestamp_seconds", {"table": "notes"})
    assert until is not None
    assert until > (datetime.now(UTC) + timedelta(days=58)).timestamp()
    assert sample("quietus_partitions_kept_timestamp_seconds")


async def test_audits_which_month_and_how_many_sessions(database: Database, metrics: Metrics) -> None:
    past = await add_old_months(database)
    before = await count(database, "sessions")
    await keeper(database, metrics).keep()
    async with database.read() as tx:
        rows = await tx.fetch_all("SELECT action, resource_id, metadata, user_id FROM audit_logs ORDER BY id")
        assert await verify_chain(tx) == len(rows)
    dropped = [row.resource_id for row in rows if row.action == "retention.drop_partition"]
    months: Counter[str] = Counter()
    for row in rows:
        if row.action == "retention.delete_sessions":
            months[row.resource_id] += row.metadata["sessions"]
    assert len(dropped) == past
    assert dropped == [f"notes_{month.replace('-', '')}" for month in sorted(months)]
    assert months.total() == before - await count(database, "sessions")
    assert {row.user_id for row in rows} == {None}


async def test_a_second_pass_changes_nothing(database: Database, metrics: Metrics) -> None:
    await add_old_months(database)
    await keeper(database, metrics).keep()
    expected = await leaves(database), await count(database, "sessions"), await count(database, "audit_logs")
    await keeper(database, metrics).keep()
    assert (await leaves(database), await count(database, "sessions"), await count(database, "audit_logs")) == expected


async def test_writers_go_on_while_months_are_dropped(database: Database, metrics: Metrics) -> None:
    past = await add_old_months(database)
    kept = await count(database, "notes")
    async with Writers(database, lambda: days_ago(1)) as written:
        await until_done(keeper(database, metrics))
    gone = metrics.registry.get_sample_value("quietus_sessions_expired_total")
    assert metrics.registry.get_sample_value("quietus_partitions_dropped_total") == past
    assert gone
    assert await count(database, "notes") == kept - gone + written.committed


async def test_default_is_emptied_while_writers_write_into_it(database: Database, metrics: Metrics) -> None:
    async with Writers(database, lambda: days_ago(0)) as written:
        await until_done(keeper(database, metrics))
    await keeper(database, metrics).keep()
    assert metrics.registry.get_sample_value("quietus_partition_default_rows", {"table": "notes"}) == 0
    assert await count(database, "notes") == written.committed


async def test_a_month_is_made_beside_a_writer_between_a_session_and_its_row(
    database: Database, metrics: Metrics
) -> None:
    """A writer that needs more than the job's 200 ms on a busy machine is asked to come again."""
    for _ in range(20):
        values = {"session_id": days_ago(0), "id": uuid7()}
        async with database.transaction() as tx:
            await tx.execute("INSERT INTO sessions (id) VALUES (:session_id)", values)
            making = asyncio.create_task(keeper(database, metrics).keep())
            await until_waiting(database)
            await tx.execute("INSERT INTO notes (session_id, id) VALUES (:session_id, :id)", values)
        with suppress(AppError):
            return await making
    raise AssertionError("never made")


async def until_waiting(database: Database) -> None:
    """Until somebody waits for a lock."""
    while True:
        async with database.read() as tx:
            if await tx.scalar("SELECT count(*) FROM pg_locks WHERE NOT granted"):
                return


async def test_a_late_row_of_a_dropped_month_goes_with_its_session(database: Database, metrics: Metrics) -> None:
    await keeper(database, metrics).keep()
    assert await add(database, days_ago(LONG_DAYS)) == "notes_default"
    await keeper(database, metrics).keep()
    assert await count(database, "notes") == 0


async def test_a_long_writer_is_not_waited_for(database: Database, metrics: Metrics) -> None:
    past = await add_old_months(database)
    async with database.transaction() as tx:
        values = {"session_id": days_ago(1), "id": uuid7()}
        await tx.execute("INSERT INTO sessions (id) VALUES (:session_id)", values)
        await tx.execute("INSERT INTO notes (session_id, id) VALUES (:session_id, :id)", values)
        async with Writers(database, lambda: days_ago(1)):  # who wait behind the one who gives up, but not for long
            with pytest.raises(AppError) as raised:
                await keeper(database, metrics).keep()
        assert raised.value.reason == "DATABASE_BUSY"
    await keeper(database, metrics).keep()
    assert metrics.registry.get_sample_value("quietus_partitions_dropped_total") == past


async def test_several_processes_take_turns(database: Database) -> None:
    past = await add_old_months(database)
    before = await count(database, "sessions")
    everybodys = [Metrics(SCHEMA) for _ in range(3)]
    for _ in range(2):  # who finds another at it leaves; by the second time all is done
        await asyncio.gather(*(until_done(keeper(database, metrics)) for metrics in everybodys))
    samples = [metrics.registry.get_sample_value for metrics in everybodys]
    assert sum(sample("quietus_partitions_dropped_total") or 0 for sample in samples) == past
    gone = sum(sample("quietus_sessions_expired_total") or 0 for sample in samples)
    assert gone == before - await count(database, "sessions")


async def test_nothing_is_done_while_another_process_is_at_it(database: Database, metrics: Metrics) -> None:
    async with database.transaction() as tx:
        await tx.execute(TAKE_TURN)
        await keeper(database, metrics).keep()
        assert await leaves(database) == ["notes_default"]
    assert not metrics.registry.get_sample_value("quietus_partitions_kept_timestamp_seconds")


async def test_tries_ever_less_often_until_nobody_is_in_the_way(
    database: Database, metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    busy = [AppError(ErrorKind.UNAVAILABLE, "DATABASE_BUSY")] * 8

    async def keep() -> None:
        if busy:
            raise busy.pop()

    async def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 9:
            raise asyncio.CancelledError

    job = keeper(database, metrics)
    monkeypatch.setattr(job, "keep", keep)
    monkeypatch.setattr(partition_keeper, "pause", pause)
    with suppress(asyncio.CancelledError):
        await job.run()
    assert pauses == [5, 10, 20, 40, 80, 160, 300, 300, 3600]
