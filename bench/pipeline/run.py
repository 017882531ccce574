"""The whole road in one run: throughput until all is settled, latencies at half of it, then ingest with fusion, and
ingest by itself.
"""

import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict

from bench.pipeline.load import Person, Plan
from bench.pipeline.suite import BenchSuite, bench_suite, write_back
from deploy.demo.people import make_counselor

PEOPLE = 64
# Each has one critical chunk; the 99th percentile of their alerts is the slowest.
PEOPLE_IN_CRISIS = 100
WINDOW = 32
AT_LEAST = {"fused_vs_ingest": 0.5}
AT_MOST = {"send_to_fused_p99_ms": 150.0, "critical_to_alert_p99_ms": 1000.0}


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


async def measure(seconds: float) -> dict[str, float]:
    """`seconds` for each of the four loads."""
    say("starting a suite ...")
    async with bench_suite() as bench:
        return await _measure(bench, seconds)


async def _measure(bench: BenchSuite, seconds: float) -> dict[str, float]:
    say(f"making {PEOPLE + PEOPLE_IN_CRISIS} people ...")
    counselor = await make_counselor(bench.suite)
    everybody = await bench.make_people(PEOPLE + PEOPLE_IN_CRISIS)
    people, in_crisis = everybody[:PEOPLE], await bench.start_sessions(everybody[PEOPLE:])

    async def load(
        predictions_per_second: float = 0.0,
        in_crisis: Sequence[Person] = (),
        dsn: str = bench.supervisor.admin_dsn,
        *,
        until_settled: bool = True,
    ) -> dict[str, float]:
        return await run_load(
            Plan(
                ingest=bench.suite.addresses["ingest"],
                alerts=bench.suite.addresses["alerts"],
                dsn=dsn,
                people=await bench.start_sessions(people),
                in_crisis=in_crisis,
                counselor_token=counselor.token[0][1].removeprefix("Bearer "),
                window=WINDOW,
                seconds=seconds,
                predictions_per_second=predictions_per_second,
                until_settled=until_settled,
            )
        )

    say("the whole road, saturated ...")
    saturated = await load()
    # What patterns and alerts can't follow is no load that a suite bears for long.
    half_load = saturated["settled_per_second"] / 2
    say(f"half load, {half_load:,.0f} predictions a second ...")
    await write_back(bench.supervisor.admin_dsn)
    half = await load(half_load, in_crisis)
    say("ingest and fusion ...")
    await bench.stop("patterns", "alerts")
    fusion = await load(until_settled=False)
    say("ingest alone ...")
    await bench.stop("fusion")
    alone = await load(dsn="")
    return {
        "fused_vs_ingest": fusion["fused_per_second"] / alone["acknowledged_per_second"],
        "fused_vs_ingest_whole_suite": saturated["fused_per_second"] / alone["acknowledged_per_second"],
        "send_to_fused_p99_ms": half["send_to_fused_p99_ms"],
        "critical_to_alert_p99_ms": half["critical_to_alert_p99_ms"],
        "send_to_fused_p50_ms": half["send_to_fused_p50_ms"],
        "critical_to_alert_p50_ms": half["critical_to_alert_p50_ms"],
        "send_to_acknowledgement_p50_ms": half["send_to_acknowledgement_p50_ms"],
        "send_to_acknowledgement_p99_ms": half["send_to_acknowledgement_p99_ms"],
        "half_load_per_second": half_load,
        "fused_per_second": fusion["fused_per_second"],
        "fused_per_second_whole_suite": saturated["fused_per_second"],
        "settled_per_second": saturated["settled_per_second"],
        "ingest_per_second": saturated["acknowledged_per_second"],
        "ingest_alone_per_second": alone["acknowledged_per_second"],
    }


async def run_load(plan: Plan) -> dict[str, float]:
    """In a process of its own: the load generator shares no event loop with what it measures."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.pipeline.load", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    try:
        output, _ = await process.communicate(json.dumps(asdict(plan)).encode())
    finally:
        if process.returncode is None:
            process.kill()
    if process.returncode:
        raise RuntimeError("the load generator failed")
    figures: dict[str, float] = json.loads(output)
    return figures
