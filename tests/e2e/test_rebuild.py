"""Fusion is killed at random points, then all that it has is dropped: the feed gives it back, row by row and bit by
bit, though it is killed while it rebuilds.
"""

import math
import random

import asyncpg
import pytest

from tests.e2e import checker, rounds
from tests.e2e.derived import TOLD, TOLD_KEY, derived, forget, keys_of
from tests.e2e.devices import Devices
from tests.e2e.polling import eventually, until
from tests.e2e.rounds import Kill
from tests.e2e.snapshot import Snapshot
from tests.e2e.stage import SEED
from tests.e2e.suite import START_SECONDS, Suite

pytestmark = pytest.mark.asyncio(loop_scope="session")

SERVICES = ("identity", "ingest", "fusion")
# Many small transactions, so that there are many points at which to die.
SETTINGS = {"QUIETUS_FUSION_MAX_EVENTS_PER_TRANSACTION": "10"}
KILLS = (
    Kill("fusion"),
    Kill("fusion", "follower.before_commit"),
    Kill("fusion", "follower.after_commit"),
    Kill("fusion", "feed.after_commit_before_publish"),
)
# Of these there is something to compare.
OF_ALL = (
    "chunk_inputs",
    "fusion_results",
    "session_states",
    "session_ends",
    "llm_explanations",
    "dissonance_records",
    "model_versions",
    "users",
)
KILLED = 2
# Of each person.
SESSIONS = 4
IN_MID_REBUILD = ("follower.before_commit", "follower.after_commit")
LATEST_HIT = 20


async def test_what_fusion_rebuilds_from_the_feed_is_what_it_had(snapshot: Snapshot) -> None:
    print(f"QUIETUS_TEST_SEED={SEED}")  # noqa: T201 - shown when the test fails
    rng = random.Random(SEED)  # noqa: S311 - repeatable on purpose
    async with snapshot.running("rebuilt", SERVICES, settings=SETTINGS) as suite:
        keys = await keys_of(suite.dsn, "fusion")
        work = {person: sessions[:SESSIONS] for person, sessions in snapshot.work.items()}
        async with Devices(suite.plan.address("ingest"), work) as devices:
            for kill in rng.sample(KILLS, KILLED):
                await rounds.play(kill, suite, devices, rng)
            await devices.finish()
        await suite.settled()
        had = await derived(suite.dsn, keys)
        await rebuild(suite, rng, len(had["chunk_inputs"]))
        has = await derived(suite.dsn, keys)
        await change_a_bit(suite)
        changed = await derived(suite.dsn, keys)

    assert [one.column for one in checker.compare(keys, has, changed)] == ["exact_score"]
    differences = checker.compare({**keys, TOLD: TOLD_KEY}, had, has)
    assert not differences, checker.report(differences)
    assert {row["revision"] for row in had["fusion_results"]} >= {1, 2}
    assert all(had[table] for table in (*OF_ALL, TOLD))


async def change_a_bit(suite: Suite) -> None:
    """So that it is known that the comparison sees one."""
    connection = await asyncpg.connect(suite.dsn)
    try:
        chunk_id, score = await connection.fetchrow("SELECT chunk_id, exact_score FROM fusion.fusion_results LIMIT 1")
        statement = "UPDATE fusion.fusion_results SET exact_score = $2 WHERE chunk_id = $1"
        await connection.execute(statement, chunk_id, math.nextafter(score, 1.0))
    finally:
        await connection.close()


async def rebuild(suite: Suite, rng: random.Random, inputs: int) -> None:
    """Fusion dies once at a failpoint near the beginning, and once when a random share of all is there again."""
    hits = len(suite.hits())
    async with suite.without("fusion"):
        await forget(suite.dsn, "fusion")
        suite.arm("fusion", rng.choice(IN_MID_REBUILD), rng.randint(2, LATEST_HIT))
    await until(lambda: len(suite.hits()) > hits, "fusion dies while it rebuilds", START_SECONDS)
    enough = rng.randint(inputs // 5, inputs // 2)
    connection = await asyncpg.connect(suite.dsn)
    try:

        async def lacks() -> str:
            there = await connection.fetchval("SELECT count(*) FROM fusion.chunk_inputs")
            return "" if there >= enough else f"{there} of {enough} inputs are there"

        await eventually(lacks, "fusion rebuilds", START_SECONDS)
        suite.kill("fusion")
    finally:
        await connection.close()
    await suite.settled()


async def test_fusion_that_is_emptied_while_it_runs_begins_anew_by_itself(snapshot: Snapshot) -> None:
    async with snapshot.running("emptied", SERVICES) as suite:
        keys = await keys_of(suite.dsn, "fusion")
        async with Devices(suite.plan.address("ingest"), snapshot.first_sessions()) as devices:
            await devices.finish()
        await suite.settled()
        had, process = await derived(suite.dsn, keys), suite.process_id("fusion")
        assert await suite.command("fusion", "empty", "--dsn", suite.dsn) == (0, "")
        await until(lambda: suite.process_id("fusion") not in {process, None}, "fusion ends and begins", START_SECONDS)
        await suite.settled()
        has = await derived(suite.dsn, keys)
    assert checker.compare({**keys, TOLD: TOLD_KEY}, had, has) == []
    assert had["fusion_results"]
