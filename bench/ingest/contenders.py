"""What is compared: each a process that has a port."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import psutil

from bench.load.plan import Plan

START_SECONDS = 60
POSTGRES = "postgres"


@dataclass(frozen=True)
class Contender:
    name: str
    port: int
    process_id: int
    generator: str = "bench.load.streams"

    def processes(self) -> list[psutil.Process]:
        """With the workers that it started."""
        first = psutil.Process(self.process_id)
        return [first, *first.children(recursive=True)]

    def memory_mb(self) -> float:
        """Of all its processes."""
        return sum(self._memories_mb())

    def largest_process_mb(self) -> float:
        return max(self._memories_mb())

    def _memories_mb(self) -> list[float]:
        return [float(process.memory_info().rss) / 1e6 for process in self.processes()]


@dataclass(frozen=True)
class Measured:
    """CPU is in cores: 1.0 is one processor, busy all the time."""

    predictions_per_second: float
    p50_ms: float
    p99_ms: float
    generator_cpu: float
    cpu: float
    postgres_cpu: float
    memory_mb: float


async def measure(contender: Contender, plan: Plan) -> Measured:
    """RuntimeError when something wasn't accepted whole."""
    return Measured(**await generate(contender, plan))


async def generate(contender: Contender, plan: Plan) -> dict[str, Any]:
    """Runs the load generator in a process of its own: what it printed, with cpu, postgres_cpu and memory_mb."""
    generator = await asyncio.create_subprocess_exec(
        sys.executable, "-m", contender.generator, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    with _cpu_of(contender.processes()) as own, _cpu_of(_postgres()) as postgres:
        output, _ = await generator.communicate(json.dumps(replace(plan, port=contender.port).__dict__).encode())
    if generator.returncode:
        raise RuntimeError(f"{contender.name} did not take the load; see above")
    seconds = plan.warm_up_seconds + plan.seconds
    measured: dict[str, Any] = json.loads(output)
    return measured | {
        "cpu": own[0] / seconds,
        "postgres_cpu": postgres[0] / seconds,
        "memory_mb": contender.memory_mb(),
    }


@asynccontextmanager
async def reference(
    name: str, module: str, dsn: str, generator: str = "bench.load.streams"
) -> AsyncIterator[Contender]:
    """A reference that prints its port and runs until it is terminated."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", module, dsn, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    try:
        async with asyncio.timeout(START_SECONDS):
            port = int(await process.stdout.readline())
        yield Contender(name, port, process.pid, generator)
    finally:
        process.terminate()
        await process.wait()


async def raw_copy(dsn: str, seconds: float, *schema_and_session: str) -> float:
    """Rows a second."""
    command = ("-m", "bench.references.raw_copy", dsn, str(seconds), *schema_and_session)
    process = await asyncio.create_subprocess_exec(sys.executable, *command, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    return float(output)


@contextmanager
def _cpu_of(processes: list[psutil.Process]) -> Iterator[list[float]]:
    spent = [0.0]
    before = {process.pid: _cpu_seconds(process) for process in processes}
    yield spent
    spent[0] = sum(_cpu_seconds(process) - before[process.pid] for process in processes)


def _cpu_seconds(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)


def _postgres() -> list[psutil.Process]:
    """Of the suite, which is this process's child."""
    return [child for child in psutil.Process().children(recursive=True) if child.name().startswith(POSTGRES)]
