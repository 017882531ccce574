"""Ingest as several processes on one port: the same promise, whichever of them dies."""

import os
import signal

import psutil
import pytest

from tests.e2e.checker import compare, not_stored_once, report, stored
from tests.e2e.conftest import Run
from tests.e2e.devices import Devices
from tests.e2e.polling import PATIENCE_SECONDS, until
from tests.e2e.rows import KEYS, read_rows
from tests.e2e.scenario import acknowledged
from tests.e2e.snapshot import Snapshot
from tests.e2e.suite import Suite

pytestmark = pytest.mark.asyncio(loop_scope="session")

WORKERS = {"QUIETUS_INGEST_WORKERS": "3"}


def workers(suite: Suite) -> list[psutil.Process]:
    leader = suite.process_id("ingest")
    assert leader
    return psutil.Process(leader).children()


async def test_everything_is_stored_and_told_once_though_leader_and_workers_are_killed(
    snapshot: Snapshot, quiet_run: Run
) -> None:
    async with snapshot.running("workers", settings=WORKERS) as suite:
        await until(lambda: len(workers(suite)) == 2, "the workers run", PATIENCE_SECONDS)
        async with Devices(suite.plan.address("ingest"), snapshot.work) as devices:
            devices.tap.set()
            await until(lambda: len(devices.ledger.acknowledged) > 10, "something is stored", PATIENCE_SECONDS)
            leader, others = suite.process_id("ingest"), workers(suite)
            assert leader
            suite.kill("ingest")
            await suite.comes_back("ingest", leader)
            psutil.wait_procs(others, PATIENCE_SECONDS)
            assert not any(process.is_running() for process in others)

            leader = suite.process_id("ingest")
            assert leader
            await until(lambda: len(workers(suite)) == 2, "the workers run", PATIENCE_SECONDS)
            os.kill(workers(suite)[0].pid, signal.SIGKILL)
            await suite.comes_back("ingest", leader)
            await devices.finish()
        await suite.settled()
        rows = await read_rows(suite.dsn, snapshot.people)
    lost = not_stored_once(acknowledged(snapshot.work, devices.ledger), stored(KEYS, rows))
    assert not lost, report(lost)
    differences = compare(KEYS, quiet_run.rows, rows)
    assert not differences, report(differences)


async def test_all_of_them_take_streams_and_end_together(snapshot: Snapshot) -> None:
    async with snapshot.running("working", ("identity", "ingest"), settings=WORKERS) as suite:
        await until(lambda: len(workers(suite)) == 2, "the workers run", PATIENCE_SECONDS)
        leader = suite.process_id("ingest")
        assert leader
        processes = [psutil.Process(leader), *workers(suite)]
        await until(lambda: all(_listens(process, suite) for process in processes), "all listen", PATIENCE_SECONDS)
        os.kill(leader, signal.SIGTERM)
        _, alive = psutil.wait_procs(processes, PATIENCE_SECONDS)
        assert not alive


def _listens(process: psutil.Process, suite: Suite) -> bool:
    port = suite.plan.ports["ingest"]
    return any(
        connection.status == psutil.CONN_LISTEN and connection.laddr.port == port
        for connection in process.net_connections()
    )
