"""`python -m bench streams`: thousands of devices on one ingest, each with a stream that sends a batch a second.

Each device has a connection and a session of its own; the sends are spread evenly over the second. An error is a
stream that can't open, ends, or leaves a batch unacknowledged for 10 s.
"""

import argparse
import asyncio
import json
import os
import resource
import sys

from bench.ingest.contenders import Contender, generate
from bench.load.plan import Plan
from bench.pipeline.suite import BenchSuite, bench_suite, write_back
from bench.report import machine
from deploy.local.plan import HOST
from deploy.local.supervisor import StartError

INGEST = "ingest"
GENERATOR = "bench.load.devices"
# A person is made in a tenth of a second; several devices of one are several sessions all the same.
DEVICES_A_PERSON = 20
WARM_UP_SECONDS = 2.0


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser("streams", help="thousands of streams that send once a second", description=__doc__)
    parser.add_argument("--streams", type=int, default=5000, help="default: %(default)d")
    parser.add_argument("--seconds", type=float, default=120.0, help="default: %(default)g")
    parser.add_argument("--batch-size", type=int, default=3, help="predictions a batch (default: %(default)d)")
    parser.add_argument(
        "--workers", type=int, default=min(2, os.cpu_count() or 1), help="processes of ingest (default: %(default)d)"
    )
    parser.add_argument("--json", action="store_true", help="the last line is one JSON object")
    parser.add_argument("--check", action="store_true", help="exit 1 when there was an error")
    parser.set_defaults(run=command)


def command(arguments: argparse.Namespace) -> int:
    # Services inherit it: a connection is a file to both sides.
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        figures = asyncio.run(run(arguments.streams, arguments.seconds, arguments.batch_size, arguments.workers))
    except (StartError, RuntimeError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    for name, value in figures.items():
        print(f"{name:32}{value:>12,.2f}")
    if arguments.json:
        print(json.dumps({"bench": "streams", "figures": figures, "machine": machine()}))
    return 1 if arguments.check and figures["errors"] else 0


async def run(streams: int, seconds: float, batch_size: int, workers: int) -> dict[str, float]:
    """`ack_...`: from when a batch was due. CPU in cores."""
    async with bench_suite({"QUIETUS_INGEST_WORKERS": str(workers)}) as suite:
        await suite.stop("fusion", "patterns", "alerts")
        plan = suite.supervisor.plan
        process_id = int((plan.run_dir / f"{INGEST}.pid").read_text())
        ingest = Contender(INGEST, plan.ports[INGEST], process_id, GENERATOR)
        before_mb = ingest.memory_mb()
        load = await _plan(suite, streams, seconds, batch_size)
        await write_back(suite.supervisor.admin_dsn)
        measured = await generate(ingest, load)
    for reason in measured["reasons"]:
        print(f"bench: {reason}", file=sys.stderr)
    return {
        "streams": measured["streams"],
        "errors": measured["errors"],
        "ack_p99_ms": measured["p99_ms"],
        "ack_p50_ms": measured["p50_ms"],
        "batches_per_second": measured["predictions_per_second"] / batch_size,
        "predictions_per_second": measured["predictions_per_second"],
        "open_seconds": measured["open_seconds"],
        "rss_mb_before": before_mb,
        "rss_mb": measured["memory_mb"],
        "generator_cpu": measured["generator_cpu"],
    }


async def _plan(suite: BenchSuite, streams: int, seconds: float, batch_size: int) -> Plan:
    people = await suite.make_people(-(-streams // DEVICES_A_PERSON))
    started = await suite.start_sessions([people[number % len(people)] for number in range(streams)])
    return Plan(
        host=HOST,
        port=0,
        sessions=[(person.session_id, person.token) for person in started],
        batch_size=batch_size,
        window=1,
        warm_up_seconds=WARM_UP_SECONDS,
        seconds=seconds,
        predictions_per_second=streams * batch_size,
    )
