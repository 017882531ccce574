"""Runs of the app, as processes that a test may kill."""

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar
from uuid import UUID

from deploy.demo.people import Person
from quietus.ingest.v1.predictions_pb2 import Prediction
from quietus_edge import Chunk
from quietus_edge.ids import uuid7
from quietus_edge.messages import predictions
from quietus_edge.simulation import SimulatedChunk
from tests.e2e.app import chunks
from tests.e2e.promise import PredictionKey, key_of
from tests.e2e.suite import Suite

ANSWER_SECONDS = 60


class App:
    """One run upon a spool. `recorded` is what it said to have recorded, `heard` whatever else it said."""

    _running: ClassVar[set["App"]] = set()

    def __init__(
        self,
        suite: Suite,
        person: Person,
        spool: Path,
        *,
        seed: int,
        count: int,
        ingest_address: str = "",
        pause_seconds: float = 0.0,
        clock: Sequence[float] = (),
    ) -> None:
        self._suite = suite
        end_time = datetime.now(UTC)
        self._planned = chunks(seed, end_time, count)
        self.session_id = str(uuid7())
        self._told = {
            "ingest_address": ingest_address or suite.plan.address("ingest"),
            "identity_address": suite.plan.address("identity"),
            "api_key": person.api_key,
            "spool": str(spool),
            "session_id": self.session_id,
            "end_time": end_time.isoformat(),
            "seed": seed,
            "chunks": count,
            "pause_seconds": pause_seconds,
            "clock": list(clock),
        }
        self.recorded: list[dict[str, Any]] = []
        self.heard: list[dict[str, Any]] = []

    async def start(self) -> None:
        environment = {**os.environ, "QUIETUS_STATE_DIR": str(self._suite.plan.state_dir)}
        command = (sys.executable, "-m", "tests.e2e.app")
        self._process: Process = await asyncio.create_subprocess_exec(
            *command, stdin=PIPE, stdout=PIPE, env=environment
        )
        self._running.add(self)
        assert self._process.stdin
        self._process.stdin.write(json.dumps(self._told).encode() + b"\n")

    async def record(self, most: int) -> None:
        """Until it has recorded that many more, or everything and flushed."""
        assert self._process.stdout
        enough = len(self.recorded) + most
        while len(self.recorded) < enough and {"flushed": True} not in self.heard:
            line = await asyncio.wait_for(self._process.stdout.readline(), ANSWER_SECONDS)
            assert line, f"the app ended: {self.heard}"
            said = json.loads(line)
            (self.recorded if "chunk_id" in said else self.heard).append(said)

    async def finish(self) -> None:
        """Until it has flushed and ended."""
        await self.record(len(self._planned) + 1)
        assert await asyncio.wait_for(self._process.wait(), ANSWER_SECONDS) == 0
        self._running.discard(self)

    async def kill(self) -> None:
        self._process.kill()
        await self._process.wait()
        self._running.discard(self)

    @classmethod
    async def kill_all(cls) -> None:
        """What a test that failed has left."""
        for app in list(cls._running):
            await app.kill()

    def planned(self) -> dict[PredictionKey, Prediction]:
        """What it records, in order. Not by a clock that jumps."""
        return {key: one for chunk in self._planned for key, one in _sent(self.session_id, chunk.chunk, chunk)}

    def predictions(self) -> dict[PredictionKey, Prediction]:
        """What it said to have recorded, in order."""
        return {
            key: one
            for said in self.recorded
            for key, one in _sent(said["session_id"], _chunk(said), self._planned[said["number"]])
        }


def _sent(session_id: str, chunk: Chunk, said: SimulatedChunk) -> Iterator[tuple[PredictionKey, Prediction]]:
    for one in predictions(chunk, said.vision, said.audio, said.text, seal=None):
        yield key_of(session_id, one), one


def _chunk(said: dict[str, Any]) -> Chunk:
    start, end = (datetime.fromisoformat(said[time]) for time in ("start", "end"))
    return Chunk(UUID(said["chunk_id"]), start, end)
