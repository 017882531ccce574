"""An app that is killed while ingest is down: what record() returned for is stored once, and sealed."""

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from datetime import UTC, datetime
from typing import Any

import pytest

from quietus_edge.ids import uuid7
from tests.e2e.checker import not_stored_once, report, stored
from tests.e2e.rows import KEYS, read_rows
from tests.e2e.snapshot import Snapshot
from tests.e2e.suite import Suite

pytestmark = pytest.mark.asyncio(loop_scope="session")

TABLES = ("ingest.vision_predictions", "ingest.audio_predictions", "ingest.text_predictions")


class App:
    """One run of the app upon the spool. `recorded`: (session id, chunk id) of what it said to have recorded."""

    def __init__(self, suite: Suite, **told: Any) -> None:
        self._suite = suite
        self._told = told
        self.recorded: list[tuple[str, str]] = []

    async def start(self) -> None:
        environment = {**os.environ, "QUIETUS_STATE_DIR": str(self._suite.plan.state_dir)}
        command = (sys.executable, "-m", "tests.e2e.app")
        self._process: Process = await asyncio.create_subprocess_exec(
            *command, stdin=PIPE, stdout=PIPE, env=environment
        )
        assert self._process.stdin
        self._process.stdin.write(json.dumps(self._told).encode() + b"\n")

    async def record(self, most: int) -> None:
        """Until it has recorded that many more, or everything and flushed."""
        assert self._process.stdout
        for _ in range(most):
            line = (await asyncio.wait_for(self._process.stdout.readline(), 60)).decode().strip()
            if line == "flushed":
                break
            assert line, "the app ended"
            self.recorded.append((self._told["session_id"], line))

    async def kill(self) -> None:
        self._process.kill()
        await self._process.wait()

    async def end(self) -> int:
        return await asyncio.wait_for(self._process.wait(), 60)


async def test_a_killed_app_loses_nothing_that_it_recorded(snapshot: Snapshot) -> None:
    person = next(iter(snapshot.work))
    async with snapshot.running("app", ("identity", "ingest")) as suite:

        def app(seed: int, chunks: int, pause_seconds: float) -> App:
            return App(
                suite,
                ingest_address=suite.plan.address("ingest"),
                identity_address=suite.plan.address("identity"),
                api_key=person.api_key,
                spool=str(suite.plan.state_dir / "spool"),
                session_id=str(uuid7()),
                end_time=datetime.now(UTC).isoformat(),
                seed=seed,
                chunks=chunks,
                pause_seconds=pause_seconds,
            )

        killed = app(seed=1, chunks=1000, pause_seconds=0.01)
        await killed.start()
        await killed.record(20)
        ingest = suite.process_id("ingest")
        assert ingest
        suite.kill("ingest")
        await killed.record(20)
        await killed.kill()
        left = app(seed=2, chunks=50, pause_seconds=0.0)
        await left.start()
        await left.record(51)
        assert await left.end() == 0
        await suite.comes_back("ingest", ingest)
        rows = await read_rows(suite.dsn, [person.anonymous_id])

    recorded = killed.recorded + left.recorded
    assert len(recorded) == 90
    lost = not_stored_once(((table, key) for table in TABLES for key in recorded), stored(KEYS, rows))
    assert not lost, report(lost)
    assert {row["transcript_state"] for row in rows["ingest.text_predictions"]} == {"sealed"}
    ended = {row["id"]: row["status"] for row in rows["ingest.sessions"]}
    assert set(ended.values()) == {"ENDED"}
    assert len(ended) == 2
