"""The rounds of `bench ingest`: contenders take turns, so that whatever else the machine does meets all of them."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from statistics import median

import asyncpg

from bench.ingest.contenders import Contender, Measured, measure, raw_copy, reference
from bench.load.plan import Plan
from bench.pipeline.suite import BenchSuite, DeviceToken, bench_suite, write_back
from deploy.local.plan import HOST

STREAMS = 64
ROUNDS = 3
WARM_UP_SECONDS = 1.0
# The slowest contender takes a second or more for what is in flight.
ROUND_SECONDS_MIN = 3.0
BATCHES = 32
BATCH_SIZES = (1, BATCHES)
# Batches in flight on each stream: enough that the server never waits for the generator.
WINDOWS = {1: 128, BATCHES: 8}
NAMES = {1: "single", BATCHES: "batch32"}
INGEST, BARE, FASTAPI = "ingest", "bare", "fastapi"
AT_LEAST = {"single_vs_bare": 0.7, "batch32_vs_bare": 0.7, "single_vs_fastapi": 20.0, "batch32_vs_fastapi": 20.0}
# An opponent that is slower than this share of a raw COPY would flatter ingest.
HONEST_SHARE_OF_RAW_COPY = 0.5

Key = tuple[str, int]


@dataclass
class Results:
    saturated: dict[Key, list[Measured]] = field(default_factory=dict)
    half_load: dict[Key, Measured] = field(default_factory=dict)
    raw_copy: list[float] = field(default_factory=list)

    def rate(self, name: str, batch_size: int) -> float:
        return median(measured.predictions_per_second for measured in self.saturated[name, batch_size])

    def figures(self) -> dict[str, float]:
        ratios = {
            f"{NAMES[size]}_vs_{other}": self.rate(INGEST, size) / self.rate(other, size)
            for size in BATCH_SIZES
            for other in (BARE, FASTAPI)
        }
        rates = {f"{name}_{NAMES[size]}_per_second": self.rate(name, size) for name, size in self.saturated}
        return (
            ratios
            | {
                "ack_p99_ms_half_load": max(self.half_load[INGEST, size].p99_ms for size in BATCH_SIZES),
                "rss_mb": max(m.memory_mb for size in BATCH_SIZES for m in self.saturated[INGEST, size]),
                "bare_vs_raw_copy": self.rate(BARE, BATCHES) / median(self.raw_copy),
                "raw_copy_per_second": median(self.raw_copy),
            }
            | rates
        )


async def run(seconds: float) -> Results:
    """`seconds` of saturation for each contender and batch size, in rounds, and as long again at half load."""
    results = Results()
    round_seconds = max(seconds / ROUNDS, ROUND_SECONDS_MIN)
    async with bench_suite() as suite, contenders(suite) as running:
        people = await suite.make_people(STREAMS)
        dsn = suite.supervisor.admin_dsn
        for _ in range(ROUNDS):
            for size in BATCH_SIZES:
                if size == BATCHES:
                    await write_back(dsn)
                    results.raw_copy.append(await raw_copy(dsn, round_seconds))
                for contender in running:
                    await write_back(dsn)
                    plan = await _plan(suite, people, size, round_seconds)
                    measured = await measure(contender, plan)
                    results.saturated.setdefault((contender.name, size), []).append(measured)
        for size in BATCH_SIZES:
            for contender in running:
                await write_back(dsn)
                half = results.rate(contender.name, size) / 2
                plan = await _plan(suite, people, size, max(seconds, ROUND_SECONDS_MIN), half)
                results.half_load[contender.name, size] = await measure(contender, plan)
    return results


@asynccontextmanager
async def contenders(suite: BenchSuite) -> AsyncIterator[Sequence[Contender]]:
    """Nobody follows ingest's feed meanwhile: what followers cost is another bench's question."""
    await suite.stop("fusion", "patterns", "alerts")
    dsn = suite.supervisor.admin_dsn
    await make_bare_tables(dsn)
    process_id = int((suite.supervisor.plan.run_dir / f"{INGEST}.pid").read_text())
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(reference(BARE, "bench.references.bare", dsn)),
            Contender(INGEST, suite.supervisor.plan.ports[INGEST], process_id),
            await stack.enter_async_context(
                reference(FASTAPI, "bench.references.fastapi_orm", dsn, "bench.load.posts")
            ),
        ]


async def make_bare_tables(dsn: str) -> None:
    """Ingest's prediction tables with their keys, partitioned as they are, without foreign keys."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute("CREATE SCHEMA bare")
        for table in ("vision_predictions", "audio_predictions", "text_predictions"):
            await connection.execute(
                f"CREATE TABLE bare.{table} (LIKE ingest.{table} INCLUDING ALL) PARTITION BY RANGE (session_id);"
                f"CREATE TABLE bare.{table}_default PARTITION OF bare.{table} DEFAULT"
            )
    finally:
        await connection.close()


async def _plan(
    suite: BenchSuite, people: Sequence[DeviceToken], batch_size: int, seconds: float, rate: float = 0.0
) -> Plan:
    """New sessions each time, so that no chunk was sent before."""
    started = await suite.start_sessions(people)
    return Plan(
        host=HOST,
        port=0,
        sessions=[(person.session_id, person.token) for person in started],
        batch_size=batch_size,
        window=WINDOWS[batch_size],
        warm_up_seconds=WARM_UP_SECONDS,
        seconds=seconds,
        predictions_per_second=rate,
    )
