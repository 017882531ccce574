"""The checks of test_kills.py are worth something: they fail on builds that lose, and on builds that count twice."""

import random

import pytest

from tests.e2e import checker, scenario
from tests.e2e.broken import ACKNOWLEDGES_FIRST
from tests.e2e.conftest import Run
from tests.e2e.devices import Devices
from tests.e2e.rounds import Kill, play
from tests.e2e.rows import KEYS, only_sessions, read_rows
from tests.e2e.snapshot import Snapshot
from tests.e2e.suite import Suite

pytestmark = pytest.mark.asyncio(loop_scope="session")

SEED = 7


async def stream_first_sessions(snapshot: Snapshot, suite: Suite, kill: Kill) -> tuple[Devices, checker.Rows]:
    """What is stored when the victim was killed in mid-stream and everything that devices sent is acknowledged."""
    async with Devices(suite.plan.address("ingest"), snapshot.first_sessions()) as devices:
        await play(kill, suite, devices, random.Random(SEED))  # noqa: S311 - repeatable on purpose
        await devices.finish()
    await suite.settled()
    return devices, await read_rows(suite.dsn, snapshot.people)


async def test_an_early_acknowledgement_is_found(snapshot: Snapshot) -> None:
    how = snapshot.folder.with_name("acknowledges-early.how")
    how.write_text(ACKNOWLEDGES_FIRST)
    modules = {"ingest": f"tests.e2e.broken_ingest {how}"}
    async with snapshot.running("acknowledges-early", ("identity", "ingest"), modules) as suite:
        devices, rows = await stream_first_sessions(snapshot, suite, Kill("ingest", "ingest.before_commit"))
    lost = checker.not_stored_once(scenario.acknowledged(snapshot.work, devices.ledger), checker.stored(KEYS, rows))
    assert {(difference.expected, difference.actual) for difference in lost} == {(1, 0)}


async def test_a_cursor_apart_from_its_effects_is_found(snapshot: Snapshot, quiet_run: Run) -> None:
    services, modules = ("identity", "ingest", "fusion", "patterns"), {"patterns": "tests.e2e.broken_patterns"}
    async with snapshot.running("cursor-apart", services, modules) as suite:
        _, rows = await stream_first_sessions(snapshot, suite, Kill("patterns", "follower.before_commit"))
    sessions = {str(session.session_id) for first in snapshot.first_sessions().values() for session in first}
    expected, actual = only_sessions(quiet_run.rows, sessions), only_sessions(rows, sessions)
    differences = checker.compare(KEYS, expected, actual)
    assert ("patterns.session_features", "results_seen") in {(one.table, one.column) for one in differences}
    assert {one.table.partition(".")[0] for one in differences} == {"patterns"}, checker.report(differences)
