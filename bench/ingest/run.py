"""The rounds of `bench ingest`: contenders take turns, so that whatever else the machine does meets all of them."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from statistics import median

import asyncpg

from bench.ingest.contenders import Contender, Measured, measure, raw_copy, reference
from bench.load.plan import Plan
from bench.load.recorder import Recorder
from bench.load.streams import Sender
from bench.pipeline.suite import BenchSuite, DeviceToken, bench_suite, write_back
from deploy.local.plan import HOST

STREAMS = 64
ROUNDS = 3
WARM_UP_SECONDS = 1.0
ROUND_SECONDS_MIN = 3.0
# The slowest contender takes seconds for what is in flight.
FASTAPI_SECONDS_MIN = 6.0
BATCHES = 32
BATCH_SIZES = (1, BATCHES)
# A device that was offline.
BACKLOG = 1_000
# Batches in flight on each stream: enough that the server never waits for the generator.
WINDOWS = {1: 128, BATCHES: 8, BACKLOG: 2}
NAMES = {1: "single", BATCHES: "batch32"}
INGEST, BARE, FASTAPI = "ingest", "bare", "fastapi"
IDLE_STREAMS = 1_000
# One device sends all that it is granted, on several streams, while the others send this share of what ingest can take:
# with it the flood's burst still fits, so what is measured is whose turn it is and not a machine that has no more.
FAIRNESS_SHARE = 0.25
# The 99th percentile of a few seconds is noisy.
FAIRNESS_ROUNDS = 5
FLOODING_STREAMS = 8
FLOODING_WINDOW = 256
AT_LEAST = {
    "single_vs_bare": 0.85,
    "batch32_vs_bare": 0.85,
    "batch1000_vs_copy": 0.8,
    "single_vs_fastapi": 20.0,
    "batch32_vs_fastapi": 20.0,
}
AT_MOST = {"ack_p99_ms_half_load": 25.0, "idle1000_rss_mb": 300.0, "fairness_p99_ratio": 1.5}
# An opponent that is slower than this share of a raw COPY would flatter ingest.
HONEST_SHARE_OF_RAW_COPY = 0.5

Key = tuple[str, int]


@dataclass
class Results:
    saturated: dict[Key, list[Measured]] = field(default_factory=dict)
    half_load: dict[Key, Measured] = field(default_factory=dict)
    raw_copy: list[float] = field(default_factory=list)
    # Into ingest's own tables.
    same_copy: list[float] = field(default_factory=list)
    # p99 of the others beside a device that floods, to theirs alone just before or after.
    flood_p99_ratios: list[float] = field(default_factory=list)
    # Of the largest process, and of all.
    idle_rss_mb: float = 0.0
    idle_all_rss_mb: float = 0.0

    def rate(self, name: str, batch_size: int) -> float:
        return median(measured.predictions_per_second for measured in self.saturated[name, batch_size])

    def figures(self) -> dict[str, float]:
        ratios = {
            f"{NAMES[size]}_vs_{other}": self.rate(INGEST, size) / self.rate(other, size)
            for size in BATCH_SIZES
            for other in (BARE, FASTAPI)
        }
        rates = {
            f"{name}_{NAMES[size]}_per_second": self.rate(name, size) for name, size in self.saturated if size in NAMES
        }
        return (
            ratios
            | {
                "batch1000_vs_copy": self.rate(INGEST, BACKLOG) / median(self.same_copy),
                "ack_p99_ms_half_load": max(self.half_load[INGEST, size].p99_ms for size in BATCH_SIZES),
                "rss_mb": max(m.memory_mb for size in BATCH_SIZES for m in self.saturated[INGEST, size]),
                "bare_vs_raw_copy": self.rate(BARE, BATCHES) / median(self.raw_copy),
                "raw_copy_per_second": median(self.raw_copy),
                "idle1000_rss_mb": self.idle_rss_mb,
                "idle1000_rss_mb_all_processes": self.idle_all_rss_mb,
                "fairness_p99_ratio": median(self.flood_p99_ratios),
                "batch1000_per_second": self.rate(INGEST, BACKLOG),
                "same_copy_per_second": median(self.same_copy),
            }
            | rates
        )


async def run(seconds: float, workers: int, progress: Callable[[str], None]) -> Results:
    """`seconds` of saturation for each contender and batch size, in rounds, and as long again at half load.

    `progress` hears what is measured next.
    """
    results = Results()
    async with bench_suite({"QUIETUS_INGEST_WORKERS": str(workers)}) as suite, contenders(suite) as running:
        people = await suite.make_people(STREAMS)
        for number in range(ROUNDS):
            progress(f"saturation, round {number + 1} of {ROUNDS}")
            await _saturate(suite, people, running, results, seconds)
        progress("half load")
        await _half_load(suite, people, running, results, seconds)
        ingest = next(contender for contender in running if contender.name == INGEST)
        progress("one device floods")
        await _fairness(suite, people, ingest, results, seconds)
        progress(f"{IDLE_STREAMS:,} idle streams")
        await _idle(suite, people, ingest, results)
        # Last, since the disk is busy with what it wrote for a while.
        progress("batches of a device that was offline")
        await _backlog(suite, people, ingest, results, seconds)
    return results


def _round_seconds(seconds: float) -> float:
    return max(seconds / ROUNDS, ROUND_SECONDS_MIN)


async def _saturate(
    suite: BenchSuite, people: Sequence[DeviceToken], running: Sequence[Contender], results: Results, seconds: float
) -> None:
    """One round."""
    dsn = suite.supervisor.admin_dsn
    for size in BATCH_SIZES:
        if size == BATCHES:
            await write_back(dsn)
            results.raw_copy.append(await raw_copy(dsn, _round_seconds(seconds)))
        for contender in running:
            await write_back(dsn)
            least_seconds = FASTAPI_SECONDS_MIN if contender.name == FASTAPI else 0.0
            plan = await _plan(suite, people, size, max(_round_seconds(seconds), least_seconds))
            measured = await measure(contender, plan)
            results.saturated.setdefault((contender.name, size), []).append(measured)


async def _half_load(
    suite: BenchSuite, people: Sequence[DeviceToken], running: Sequence[Contender], results: Results, seconds: float
) -> None:
    for size in BATCH_SIZES:
        for contender in running:
            await write_back(suite.supervisor.admin_dsn)
            half = results.rate(contender.name, size) / 2
            plan = await _plan(suite, people, size, max(seconds, ROUND_SECONDS_MIN), half)
            results.half_load[contender.name, size] = await measure(contender, plan)


async def _backlog(
    suite: BenchSuite, people: Sequence[DeviceToken], ingest: Contender, results: Results, seconds: float
) -> None:
    """Batches of a device that was offline, against a COPY of such rows into the very same tables."""
    dsn = suite.supervisor.admin_dsn
    for _ in range(ROUNDS):
        await write_back(dsn)
        [session] = await suite.start_sessions(people[:1])
        results.same_copy.append(await raw_copy(dsn, _round_seconds(seconds), "ingest", session.session_id))
        await write_back(dsn)
        plan = await _plan(suite, people, BACKLOG, _round_seconds(seconds))
        results.saturated.setdefault((INGEST, BACKLOG), []).append(await measure(ingest, plan))


async def _fairness(
    suite: BenchSuite, people: Sequence[DeviceToken], ingest: Contender, results: Results, seconds: float
) -> None:
    flooding, others = [people[0]] * FLOODING_STREAMS, people[1:]
    rate = results.rate(INGEST, 1) * FAIRNESS_SHARE

    async def p99_ms(*, one_floods: bool) -> float:
        await write_back(suite.supervisor.admin_dsn)
        plan = await _plan(suite, others, 1, _round_seconds(seconds), rate)
        if not one_floods:
            return (await measure(ingest, plan)).p99_ms
        flood = await _plan(suite, flooding, BATCHES, _round_seconds(seconds))
        beside, _ = await asyncio.gather(measure(ingest, plan), measure(ingest, replace(flood, window=FLOODING_WINDOW)))
        return beside.p99_ms

    for number in range(FAIRNESS_ROUNDS):
        order = (True, False) if number % 2 else (False, True)
        measured = {one_floods: await p99_ms(one_floods=one_floods) for one_floods in order}
        results.flood_p99_ratios.append(measured[True] / measured[False])


async def _idle(suite: BenchSuite, people: Sequence[DeviceToken], ingest: Contender, results: Results) -> None:
    """The memory of ingest with idle streams and busy ones."""
    devices = [people[number % len(people)] for number in range(IDLE_STREAMS)]
    plan = replace(await _plan(suite, devices, 1, 0.0), port=ingest.port)
    recorder = Recorder(0.0, 0.0)
    idle = [Sender(plan, session, token, seed, recorder) for seed, (session, token) in enumerate(plan.sessions)]
    await asyncio.gather(*(sender.open() for sender in idle))
    busy = await _plan(suite, people, 1, ROUND_SECONDS_MIN, results.rate(INGEST, 1) / 2)
    results.idle_all_rss_mb = (await measure(ingest, busy)).memory_mb
    results.idle_rss_mb = ingest.largest_process_mb()
    if ended := [sender.stream.ended.result() for sender in idle if sender.stream.ended.done()]:
        raise RuntimeError(f"{len(ended)} idle streams ended: {ended[0]}")
    for sender in idle:
        sender.stream.close()


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
