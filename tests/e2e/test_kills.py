"""Whatever is killed in mid-stream, what was acknowledged is kept and everything ends as if nothing had happened."""

import os
import random

import pytest

from libs.common import failpoints
from tests.e2e import checker, rounds, scenario
from tests.e2e.conftest import Run
from tests.e2e.devices import Devices
from tests.e2e.rows import ALERTS, IGNORED, KEYS, read_rows, tables_in
from tests.e2e.snapshot import Snapshot

pytestmark = pytest.mark.asyncio(loop_scope="session")

SEED = int(os.environ.get("QUIETUS_TEST_SEED", "7"))


async def test_kills_in_mid_stream_leave_no_trace(snapshot: Snapshot, quiet_run: Run) -> None:
    print(f"QUIETUS_TEST_SEED={SEED}")  # noqa: T201 - shown when the test fails
    rng = random.Random(SEED)  # noqa: S311 - repeatable on purpose
    kills = rng.sample(rounds.ALL, len(rounds.ALL))
    async with (
        snapshot.running("killed") as suite,
        Devices(suite.plan.address("ingest"), snapshot.work) as devices,
    ):
        for kill in kills:
            await rounds.play(kill, suite, devices, rng)
        await devices.finish()
        await suite.settled()
        rows = await read_rows(suite.dsn, snapshot.people)
        died_of_their_own = suite.died_of_their_own()

    assert not died_of_their_own
    never_hit = failpoints.NAMES - set(suite.hits())
    assert not never_hit
    lost = checker.not_stored_once(scenario.acknowledged(snapshot.work, devices.ledger), checker.stored(KEYS, rows))
    assert not lost, checker.report(lost)
    differences = checker.compare(KEYS, quiet_run.rows, rows)
    assert not differences, checker.report(differences)


async def test_the_comparison_is_of_something(quiet_run: Run) -> None:
    empty = {table for table, rows in quiet_run.rows.items() if not rows}
    assert not empty
    assert "critical" in {row["risk_level"] for row in quiet_run.rows[ALERTS]}
    assert {row["revision"] for row in quiet_run.rows["fusion.fusion_results"]} >= {1, 2}


async def test_no_table_escapes_the_comparison(quiet_run: Run) -> None:
    tables = await tables_in(quiet_run.suite.dsn)
    escaped = {table for table in tables - KEYS.keys() if not {table, table.split(".")[1]} & IGNORED.keys()}
    assert not escaped
    gone = {name for name in IGNORED if name not in tables and not any(t.endswith(f".{name}") for t in tables)}
    assert not gone
