"""`python -m bench ingest`: durable predictions a second over 64 streams, against two references in the same run."""

import argparse
import asyncio
import json
import os
import sys

from bench.ingest.run import AT_LEAST, AT_MOST, BATCH_SIZES, HONEST_SHARE_OF_RAW_COPY, NAMES, Results, run
from bench.report import machine, misses, table
from deploy.local.supervisor import StartError

HEAD = (
    "contender",
    "predictions/s",
    "p50 ms",
    "p99 ms",
    "half load p50 ms",
    "p99 ms",
    "CPU",
    "Postgres",
    "generator",
    "MB",
)


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser("ingest", help="against a bare reference and a first FastAPI", description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="for each contender and size (%(default)g)")
    parser.add_argument(
        "--workers",
        type=int,
        default=min(2, os.cpu_count() or 1),
        help="processes of ingest; the bare reference is one, and takes what it can of the other cores by its threads"
        " and Postgres (default: %(default)d)",
    )
    parser.add_argument("--json", action="store_true", help="the last line is one JSON object")
    parser.add_argument("--check", action="store_true", help="exit 1 when a ratio is below its limit")
    parser.set_defaults(run=command)


def command(arguments: argparse.Namespace) -> int:
    try:
        results = asyncio.run(run(arguments.seconds, arguments.workers, _progress))
    except (StartError, RuntimeError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    figures = results.figures()
    print(tables(results))
    print("\nCPU in cores; the generator shares them with everybody else.")
    for name, value in figures.items():
        print(f"{name:32}{value:>12,.2f}")
    figures["ingest_workers"] = arguments.workers
    honest = {"bare_vs_raw_copy": HONEST_SHARE_OF_RAW_COPY}
    problems = misses(figures, honest | AT_LEAST, AT_MOST) if arguments.check else misses(figures, honest)
    for problem in problems:
        print(f"bench: {problem}", file=sys.stderr)
    if arguments.json:
        print(json.dumps({"bench": "ingest", "figures": figures, "machine": machine()}))
    return 1 if problems else 0


def _progress(what: str) -> None:
    print(f"bench: {what} ...", file=sys.stderr, flush=True)


def tables(results: Results) -> str:
    return "\n\n".join(_table(results, size) for size in BATCH_SIZES)


def _table(results: Results, batch_size: int) -> str:
    rows = []
    for name, size in results.saturated:
        if size != batch_size:
            continue
        rate = results.rate(name, size)
        measured = min(results.saturated[name, size], key=lambda m: abs(m.predictions_per_second - rate))
        half = results.half_load[name, size]
        rows.append(
            (
                name,
                f"{rate:,.0f}",
                f"{measured.p50_ms:.1f}",
                f"{measured.p99_ms:.1f}",
                f"{half.p50_ms:.1f}",
                f"{half.p99_ms:.1f}",
                f"{measured.cpu:.2f}",
                f"{measured.postgres_cpu:.2f}",
                f"{measured.generator_cpu:.2f}",
                f"{measured.memory_mb:.0f}",
            )
        )
    return f"{NAMES[batch_size]}\n{table(HEAD, rows)}"
