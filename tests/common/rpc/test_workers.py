"""Further processes of one service, and what becomes of the leader when they end."""

import asyncio
import sys

import pytest

from libs.common.rpc.workers import WorkerEndedError, Workers

WAITS = "import time; print(flush=True); time.sleep(600)"


async def test_a_worker_that_ends_by_itself_ends_the_leader() -> None:
    with pytest.raises(WorkerEndedError):
        await Workers((sys.executable, "-c", ""), [{}]).run()


async def test_workers_that_end_because_they_were_told_leave_the_leader_its_time() -> None:
    workers = Workers((sys.executable, "-c", WAITS), [{}, {}])
    running = asyncio.create_task(workers.run())
    await asyncio.sleep(0)
    workers.drain()
    assert await running is None


async def test_nobody_is_started_once_the_end_has_begun() -> None:
    workers = Workers(("/does/not/exist",), [{}])
    workers.drain()
    await workers.run()
