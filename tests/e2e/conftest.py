"""Suites for end-to-end tests: one snapshot, one suite that is never killed, and nothing that stays behind."""

import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from deploy.demo.suite import Suite as Client
from deploy.demo.suite import connected
from tests.e2e.checker import Rows
from tests.e2e.devices import Devices
from tests.e2e.reaper import guarded
from tests.e2e.rows import read_rows
from tests.e2e.snapshot import Snapshot, make_snapshot
from tests.e2e.stage import SEED, Stage, open_stage
from tests.e2e.suite import Suite


@dataclass(frozen=True)
class Run:
    """What a run of the snapshot's work stored."""

    suite: Suite
    rows: Rows


@pytest.fixture(scope="session")
def workspace() -> Iterator[Path]:
    """A folder that is removed, with every process that works below it, even when the tests are killed."""
    folder = Path(tempfile.mkdtemp(prefix="quietus-e2e-"))
    with guarded(folder):
        yield folder


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def snapshot(workspace: Path) -> Snapshot:
    return await make_snapshot(workspace / "snapshot")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def suite(snapshot: Snapshot) -> AsyncIterator[Suite]:
    """Nobody kills anything here. Tests bring people of their own."""
    async with snapshot.running("quiet") as suite:
        yield suite


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def client(suite: Suite) -> AsyncIterator[Client]:
    """Speaks with the suite that nobody kills, and may make people."""
    async with connected(suite.plan) as client:
        yield client


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def stage(snapshot: Snapshot) -> AsyncIterator[Stage]:
    """For faults, which end as if nothing had happened."""
    async with open_stage(snapshot, "faults", SEED) as stage:
        yield stage


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def quiet_run(snapshot: Snapshot, suite: Suite) -> Run:
    """The snapshot's work, without kills."""
    async with Devices(suite.plan.address("ingest"), snapshot.work) as devices:
        await devices.finish()
    await suite.settled()
    return Run(suite, await read_rows(suite.dsn, snapshot.people))
