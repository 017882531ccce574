"""A clock that leapt ahead deletes nothing."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from libs.common.db.database import Database
from libs.common.db.partition_keeper import PartitionKeeper
from libs.common.db.retention_clock import HELD, LEAP, OFF_MAX, Reading
from libs.common.db.roles import dsn_for, slice_role
from libs.common.observability.metrics import Metrics
from quietus_edge.ids import uuid7
from tests.common.db.months import SCHEMA, add, count, database_with_months, expire, leaves

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
NO_STEP = timedelta(0)
# More, and the database itself would refuse to drop what is so young.
AHEAD = timedelta(days=50)


@pytest.mark.parametrize("moved", [NO_STEP, LEAP, -LEAP, -100 * DAY])
def test_small_steps_and_steps_back_hold_nothing(moved: timedelta) -> None:
    assert Reading(NOW).then(NOW + moved, moved) == Reading(NOW + moved)


def test_a_leap_holds_for_a_week_from_where_the_clock_is_now() -> None:
    leapt = NOW + 30 * DAY
    held = Reading(NOW).then(leapt, 30 * DAY)
    assert held == Reading(leapt, leapt)
    assert held.then(leapt + HOUR, NO_STEP).held_since == leapt
    assert held.then(leapt + HELD - HOUR, None).held_since == leapt
    assert held.then(leapt + HELD, NO_STEP) == Reading(leapt + HELD)


def test_a_second_leap_holds_anew() -> None:
    once = NOW + 30 * DAY
    assert Reading(once, once).then(once + 40 * DAY, 40 * DAY).held_since == once + 40 * DAY


def test_a_clock_that_is_put_right_is_believed_at_once() -> None:
    leapt = NOW + 30 * DAY
    assert Reading(leapt, leapt).then(NOW + HOUR, HOUR - 30 * DAY) == Reading(NOW + HOUR)
    assert Reading(leapt, leapt).then(NOW + HOUR, None) == Reading(NOW + HOUR)


def test_a_suite_may_have_been_off_for_two_weeks() -> None:
    assert Reading(NOW).then(NOW + OFF_MAX, None).held_since is None
    assert Reading(NOW).then(NOW + OFF_MAX + HOUR, None).held_since == NOW + OFF_MAX + HOUR


class Machine:
    """Keeps a database's months, by a clock that can be set and a process that can be started anew."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.metrics = Metrics(SCHEMA)
        self._ahead = timedelta(0)
        self._running_seconds = 0.0
        self.start()

    def start(self) -> None:
        self._keeper = PartitionKeeper(
            self.database, self.metrics, 90, expire, lambda: datetime.now(UTC) + self._ahead, self._seconds
        )

    def set_ahead(self, by: timedelta) -> None:
        self._ahead += by

    def wait(self, time: timedelta) -> None:
        self._ahead += time
        self._running_seconds += time.total_seconds()

    def _seconds(self) -> float:
        return self._running_seconds

    async def keep(self) -> list[str]:
        """The months of sessions that are there then."""
        await self._keeper.keep()
        return [name for name in await leaves(self.database) if name <= self.this_month]

    async def readings(self) -> list[bool]:
        """What was written down of the clock: whether it was believed no more."""
        async with self.database.read() as tx:
            rows = await tx.fetch_all("SELECT metadata FROM audit_logs WHERE action = 'retention.clock' ORDER BY id")
        return [row.metadata["held_since"] is not None for row in rows]

    @property
    def this_month(self) -> str:
        return f"notes_{datetime.now(UTC):%Y%m}"

    @property
    def is_held(self) -> bool:
        return "retention_held" in self.metrics.degraded_reasons


@pytest.fixture
async def machine(postgres_admin_dsn: str) -> AsyncIterator[Machine]:
    async with database_with_months(postgres_admin_dsn) as dsn:
        database = Database(dsn_for(dsn, slice_role(SCHEMA)), SCHEMA, 2)
        for days in range(0, 90, 10):
            await add(database, uuid7(datetime.now(UTC) - timedelta(days=days)))
        yield Machine(database)
        await database.close()


@pytest.mark.parametrize("restart", [False, True])
async def test_a_clock_that_is_months_ahead_drops_nothing(machine: Machine, restart: bool) -> None:
    months, sessions = await machine.keep(), await count(machine.database, "sessions")
    machine.set_ahead(AHEAD)
    if restart:
        machine.start()
    for _ in range(3):
        assert await machine.keep() == months
        assert machine.is_held
    assert await count(machine.database, "sessions") == sessions
    assert await machine.readings() == [False, True]
    machine.set_ahead(-AHEAD)
    assert await machine.keep() == months
    assert not machine.is_held


async def test_a_clock_that_isnt_the_databases_drops_nothing(machine: Machine) -> None:
    """Also when a process has never seen another: the first that it keeps."""
    machine.set_ahead(AHEAD)
    await machine.keep()
    assert machine.is_held
    assert await count(machine.database, "sessions") == 9


async def test_what_the_clock_said_is_audited_once_a_day(machine: Machine) -> None:
    for _ in range(30):
        await machine.keep()
        machine.wait(HOUR)
    assert await machine.readings() == [False, False]
