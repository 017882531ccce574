"""Whatever becomes of an app, its spool and its clock, what it recorded is stored once, as it was, and in order."""

import random
import sqlite3
from collections.abc import AsyncIterator, Iterable
from contextlib import closing
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from deploy.demo.people import Person
from libs.common.rpc.client import Metadata
from tests.e2e import checker
from tests.e2e.apps import App
from tests.e2e.polling import eventually
from tests.e2e.promise import PredictionKey
from tests.e2e.stage import SEED, Stage

pytestmark = pytest.mark.asyncio(loop_scope="session")

COUNT = "SELECT count(*) FROM ingest.vision_predictions WHERE session_id = $1"


@pytest_asyncio.fixture(autouse=True, loop_scope="session")
async def nobody_stays(stage: Stage) -> AsyncIterator[None]:
    yield
    stage.proxy.heal()
    await App.kill_all()


@pytest.fixture
def rng() -> random.Random:
    print(f"QUIETUS_TEST_SEED={SEED}")  # noqa: T201 - shown when a test fails
    return random.Random(SEED)  # noqa: S311 - repeatable on purpose


async def violations(stage: Stage, person: Person, after: int, apps: list[App]) -> list[checker.Difference]:
    """Everything that an app said to have recorded counts as acknowledged."""
    sent = {key: one for app in apps for key, one in (app.planned() | app.predictions()).items()}
    recorded = {key for app in apps for key in app.predictions()}
    return await stage.violations(sent, recorded, after, tokens(person, recorded))


def tokens(person: Person, keys: Iterable[PredictionKey]) -> dict[str, Metadata]:
    return dict.fromkeys({session_id for session_id, _, _ in keys}, person.token)


async def stored(stage: Stage, app: App) -> int:
    connection = await asyncpg.connect(stage.suite.dsn)
    try:
        return int(await connection.fetchval(COUNT, app.session_id))
    finally:
        await connection.close()


async def test_an_app_killed_between_sending_and_acknowledgement(
    stage: Stage, rng: random.Random, tmp_path: Path
) -> None:
    (person, *_), after, spool = await stage.people(), await stage.listener.head(), tmp_path / "spool"
    killed = App(
        stage.suite, person, spool, seed=SEED, count=1000, pause_seconds=0.01, ingest_address=stage.proxy.address
    )
    await killed.start()
    await killed.record(rng.randint(1, 20))

    async def heard() -> str:
        return "" if await stored(stage, killed) else "nothing"

    await eventually(heard, "the stream is open")
    stage.proxy.hold("down")
    before = await stored(stage, killed)
    await killed.record(rng.randint(10, 20))

    async def unheard() -> str:
        return "" if await stored(stage, killed) > before else "nothing more"

    await eventually(unheard, "something is stored whose acknowledgement nobody heard")
    await killed.kill()
    stage.proxy.heal()
    left = App(stage.suite, person, spool, seed=SEED + 1, count=50)
    await left.start()
    await left.finish()
    found = await violations(stage, person, after, [killed, left])
    assert not found, checker.report(found)


@pytest.mark.parametrize("truncated", [True, False])
async def test_a_spool_that_was_damaged_while_nobody_used_it(
    stage: Stage, rng: random.Random, tmp_path: Path, truncated: bool
) -> None:
    (person, *_), after, spool = await stage.people(), await stage.listener.head(), tmp_path / "spool"
    killed = App(stage.suite, person, spool, seed=SEED, count=270, ingest_address=stage.proxy.address)
    await killed.start()
    await killed.record(20)
    stage.proxy.hold("up")
    await killed.record(250)
    await killed.kill()
    stage.proxy.heal()
    damage(spool, rng, truncated=truncated)
    left = App(stage.suite, person, spool, seed=SEED + 1, count=50)
    await left.start()
    await left.finish()
    assert {"problem": "SPOOL_BROKEN"} in left.heard
    sent = killed.planned() | left.planned()
    found = await stage.violations(sent, set(left.predictions()), after, tokens(person, sent))
    assert not found, checker.report(found)
    assert 0 < await stored(stage, killed) <= 270


def damage(spool: Path, rng: random.Random, *, truncated: bool) -> None:
    """Behind the first pages: without its tables nothing could be read."""
    with closing(sqlite3.connect(spool)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = bytearray(spool.read_bytes())
    if truncated:
        del content[len(content) * 3 // 4 :]
    else:
        for _ in range(10):
            content[rng.randrange(len(content) // 2, len(content))] ^= 1 << rng.randrange(8)
    spool.write_bytes(content)


async def test_a_clock_that_jumps_a_day_back_and_forth(stage: Stage, rng: random.Random, tmp_path: Path) -> None:
    (person, *_), after = await stage.people(), await stage.listener.head()
    hours = [0, *rng.choice([(24, 0, -24, 0), (-24, 0, 24, 0), (24, -24, 0, -24), (-24, 24, 0, 24)])]
    app = App(stage.suite, person, tmp_path / "spool", seed=SEED, count=100, pause_seconds=0.01, clock=hours)
    await app.start()
    await app.finish()
    assert len(app.recorded) == 100
    assert app.heard == [{"flushed": True}]
    found = await violations(stage, person, after, [app])
    assert not found, checker.report(found)
