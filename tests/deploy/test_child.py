"""A process that the supervisor keeps running."""

import asyncio
import os
import sys
from pathlib import Path

import psutil

from deploy.local.child import Child
from deploy.local.plan import NICENESS as NICENESSES
from deploy.local.plan import SERVICES, Plan
from deploy.local.supervisor import Supervisor

NICENESS = 7


def niceness_of(process_id: int) -> set[int]:
    """Its own, and that of its session where the kernel shares processors among sessions."""
    session = Path(f"/proc/{process_id}/autogroup")
    found = {os.getpriority(os.PRIO_PROCESS, process_id)}
    return found | {int(session.read_text().split()[-1])} if session.exists() else found


async def test_what_stands_back_does_so_again_after_it_died(tmp_path: Path) -> None:
    command = (sys.executable, "-c", "import time; time.sleep(600)")
    child = Child("patient", command, os.environ, run_dir=tmp_path, logs_dir=tmp_path, niceness=NICENESS)
    pid_file = tmp_path / "patient.pid"
    await child.start()
    try:
        first = pid_file.read_text()
        assert niceness_of(int(first)) == {NICENESS}
        psutil.Process(int(first)).kill()
        async with asyncio.timeout(60):
            while (second := pid_file.read_text()) in ("", first):  # noqa: ASYNC110 - a file tells nobody
                await asyncio.sleep(0.01)
        assert niceness_of(int(second)) == {NICENESS}
    finally:
        await child.stop()


def test_patterns_alone_stands_back(tmp_path: Path) -> None:
    supervisor = Supervisor(Plan(tmp_path))
    children = [supervisor._child(service, environment={}) for service in ("postgres", *SERVICES)]
    assert {child.name: child.niceness for child in children if child.niceness} == NICENESSES == {"patterns": 10}
