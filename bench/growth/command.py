"""`python -m bench growth`: what 20 million predictions in the tables cost, against empty tables in the same run.

Two ingest processes on one server take turns: one whose database was filled by COPY over three months of partitions,
one whose tables are emptied before each round. A round writes at saturation (64 streams, batches of 32) and reads
sessions of 5,001 predictions back, by pages and as an export. It needs some 20 GB for the 20 million, and removes them.
"""

import argparse
import asyncio
import json
import sys

from bench.growth.run import AT_LEAST, run
from bench.report import machine, misses, table
from deploy.local.supervisor import StartError

HEAD = ("round", "grown/s", "empty/s", "grown list ms", "empty", "grown export ms", "empty")


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser("growth", help="full tables against empty ones", description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000_000, help="predictions in place (default: %(default)d)")
    parser.add_argument("--seconds", type=float, default=36.0, help="of writing for each database (%(default)g)")
    parser.add_argument("--json", action="store_true", help="the last line is one JSON object")
    parser.add_argument("--check", action="store_true", help="exit 1 when a ratio is below its limit")
    parser.set_defaults(run=command)


def command(arguments: argparse.Namespace) -> int:
    try:
        results = asyncio.run(run(arguments.rows, arguments.seconds, show))
    except (StartError, RuntimeError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    figures = results.figures()
    print(table(HEAD, results.rounds()), end="\n\n")
    for name, value in figures.items():
        print(f"{name:32}{value:>14,.2f}")
    problems = misses(figures, AT_LEAST if arguments.check else {})
    for problem in problems:
        print(f"bench: {problem}", file=sys.stderr)
    if arguments.json:
        print(json.dumps({"bench": "growth", "figures": figures, "machine": machine()}))
    return 1 if problems else 0


def show(done: int, total: int) -> None:
    if sys.stderr.isatty() or done == total:
        width = 40 * done // total
        end = "\n" if done == total else "\r"
        print(f"[{'#' * width:40}] {done:,} of {total:,} rows", end=end, file=sys.stderr, flush=True)
