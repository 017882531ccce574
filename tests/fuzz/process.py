"""The process that is fuzzed, seen from outside: what it logs and what it holds."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
from prometheus_client.parser import text_string_to_metric_families

from deploy.local.health import wait_until_serving
from libs.common.db.roles import dsn_for, slice_role
from tests.e2e.ports import free_ports
from tests.fuzz.target import TASKS

START_SECONDS, STOP_SECONDS = 30.0, 20.0
_MEBIBYTE = 1 << 20


@dataclass(frozen=True)
class Held:
    """What may leak."""

    resident_mib: float
    files: int
    tasks: int
    streams: int


class Target:
    def __init__(self, process: asyncio.subprocess.Process, log: Path, port: int, metrics_port: int) -> None:
        self._process = process
        self._log = log
        self._seen = psutil.Process(process.pid)
        self._metrics = f"http://127.0.0.1:{metrics_port}/metrics"
        self.port = port
        self.address = f"127.0.0.1:{port}"

    @property
    def is_alive(self) -> bool:
        return self._process.returncode is None

    async def held(self) -> Held:
        async with httpx.AsyncClient() as client:
            text = (await client.get(self._metrics)).text
        found = {
            (sample.name, sample.labels.get("kind", "")): int(sample.value)
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name in {TASKS, "quietus_calls_in_flight"}
        }
        return Held(
            self._seen.memory_info().rss / _MEBIBYTE,
            self._seen.num_fds(),
            found[TASKS, ""],
            found.get(("quietus_calls_in_flight", "stream"), 0),
        )

    def complaints(self) -> list[str]:
        return self.complaints_in(self._log)

    @staticmethod
    def complaints_in(log: Path) -> list[str]:
        """Lines that no client may cause."""
        words = ("Traceback", "never retrieved", "never awaited", '"level":"error"', '"level":"critical"')
        lines = log.read_text(errors="replace").splitlines()
        return [line for line in lines if any(word in line for word in words)]

    def last_words(self) -> str:
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-20:])


@asynccontextmanager
async def running(dsn: str, folder: Path) -> AsyncIterator[Target]:
    """Ingest on this database; its log lies in the folder."""
    port, metrics_port = list(free_ports().values())[:2]
    settings = {
        "QUIETUS_DATABASE_URL": dsn_for(dsn, slice_role("ingest")),
        "QUIETUS_INGEST_PORT": str(port),
        "QUIETUS_INGEST_METRICS_PORT": str(metrics_port),
        "QUIETUS_LOG_LEVEL": "warning",
        # Mutated batches repeat themselves; who is slowed down finds less.
        "QUIETUS_INGEST_DEVICE_PREDICTIONS_PER_SECOND": "1000000",
        "QUIETUS_INGEST_PERSON_PREDICTIONS_PER_SECOND": "1000000",
        # What works in the background meets what was sent, and soon.
        "QUIETUS_INGEST_MODALITY_SILENCE_SECONDS": "5",
        "QUIETUS_INGEST_ALLOW_PLAINTEXT": "true",
    }
    log = folder / "target.log"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.fuzz.target", env=os.environ | settings, stdout=output, stderr=output
        )
    target = Target(process, log, port, metrics_port)
    try:
        assert await wait_until_serving(target.address, START_SECONDS), target.last_words()
        yield target
    finally:
        if target.is_alive:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), STOP_SECONDS)
            except TimeoutError:
                process.kill()
                await process.wait()
