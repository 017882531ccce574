"""The device in Node against a real suite: the server is killed, then the device, and every row is there once."""

import asyncio
import json
import shutil
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from tests.docs.pages import ROOT
from tests.e2e.snapshot import Snapshot
from tests.e2e.suite import Suite

EXAMPLE = ROOT / "examples" / "node"
CHUNKS = 120
PATIENCE_SECONDS = 120.0
_ROWS = "SELECT batch_number, chunk_id FROM ingest.{table}_predictions WHERE session_id = $1::text::uuid"

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.skipif(
        not (shutil.which("node") and shutil.which("npm")),
        reason="Node isn't there: the example in Node was NOT tested",
    ),
]


class Device:
    """One run of the example. `through` is the newest batch that was acknowledged to it."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self.through = 0
        self.refused: list[Any] = []
        self.summary: dict[str, Any] = {}

    async def acknowledged(self, through: int) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while self.through < through and not self.summary:
                await self._hear()

    async def end(self) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not self.summary:
                await self._hear()
            assert await self._process.wait() == 0

    async def kill(self) -> None:
        self._process.kill()
        await self._process.wait()

    async def _hear(self) -> None:
        assert self._process.stdout
        line = await self._process.stdout.readline()
        assert line, "the device ended"
        said = json.loads(line)
        if "acknowledged" in said:
            self.through = said["acknowledged"]
            self.refused += said["outcomes"]
        else:
            self.summary = said


@pytest_asyncio.fixture(loop_scope="session")
async def example(tmp_path: Path) -> Path:
    """A copy with its packages, beside a copy of the contracts that it reads."""
    folder = tmp_path / "examples" / "node"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("node_modules"))
    shutil.copytree(ROOT / "protos" / "quietus", tmp_path / "protos" / "quietus")
    command = ("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline")
    process = await asyncio.create_subprocess_exec(*command, cwd=folder, stdout=PIPE, stderr=PIPE)
    _, problems = await process.communicate()
    assert process.returncode == 0, problems.decode()
    return folder


@asynccontextmanager
async def device(suite: Suite, example: Path, key: Path) -> AsyncIterator[Device]:
    process = await asyncio.create_subprocess_exec(
        *("node", "main.js", "--ingest", suite.plan.address("ingest"), "--identity", suite.plan.address("identity")),
        *("--api-key-file", str(key), "--chunks", str(CHUNKS)),
        cwd=example,
        stdout=PIPE,
    )
    try:
        yield Device(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_nothing_is_lost_or_stored_twice(snapshot: Snapshot, example: Path, tmp_path: Path) -> None:
    person = next(iter(snapshot.work))
    key = tmp_path / "device.key"
    key.write_text(person.api_key)
    async with snapshot.running("node", ("identity", "ingest")) as suite:
        async with device(suite, example, key) as killed:
            await killed.acknowledged(20)
            ingest = suite.process_id("ingest")
            assert ingest
            suite.kill("ingest")
            await suite.comes_back("ingest", ingest)
            await killed.acknowledged(60)
            await killed.kill()
        async with device(suite, example, key) as left:
            await left.end()
        await check(suite, left)
    assert left.summary["batches"] == CHUNKS
    assert killed.through >= 60


async def check(suite: Suite, left: Device) -> None:
    session_id = left.summary["session_id"]
    connection = await asyncpg.connect(suite.dsn)
    try:
        for table in ("vision", "audio", "text"):
            rows = await connection.fetch(_ROWS.format(table=table), session_id)
            assert sorted(row["batch_number"] for row in rows) == list(range(1, CHUNKS + 1))
            assert len({row["chunk_id"] for row in rows}) == CHUNKS
        status = await connection.fetchval("SELECT status FROM ingest.sessions WHERE id = $1::text::uuid", session_id)
    finally:
        await connection.close()
    assert status == "ENDED"
