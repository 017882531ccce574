"""`python -m bench fuse`: how fast fusion is by itself, in memory and from its feed to committed rows.

In memory: the service's `fuse()` on arrays of 100,000 chunks of stored inputs, most with three modalities, in one
thread: everything that a result says of its chunk. Not in it: reading rows into arrays, the session's state, writing.

From the feed: client batches of one chunk and three modalities, of 64 sessions in turn, as ingest's feed carries them.
The service's own follower, one process, reads, fuses and folds them and commits rows, events and cursor to an embedded
Postgres that writes to the disk. Not in it: the stream between two services.
"""

import argparse
import json
import sys

import uvloop

from bench.fuse import feed, memory
from bench.report import machine, misses
from libs.common.db.cluster import EmbeddedError

AT_LEAST = {"memory_chunks_per_s": 200_000.0, "feed_to_rows_chunks_per_s": 15_000.0}
EXPLAINED = {
    "memory_chunks_per_s": "fuse() on arrays, one thread",
    "memory_vs_scalar": "... to the same science chunk by chunk in plain Python, as the tests have it",
    "scalar_chunks_per_s": "",
    "feed_to_rows_chunks_per_s": "from events of the feed to committed rows, one follower",
    "feed_to_rows_vs_copy": "... to a COPY of the same rows into the same tables without foreign keys, done before",
    "copy_chunks_per_s": "",
    "follower_us_per_chunk": "processor time of the follower's process",
    "postgres_us_per_chunk": "... and of Postgres",
    "chunks_per_transaction": "",
}


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser(
        "fuse",
        help="fusion by itself: in memory, and from its feed to rows",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seconds", type=float, default=10.0, help="of each of the two (default: %(default)g)")
    parser.add_argument("--json", action="store_true", help="the last line is one JSON object")
    parser.add_argument("--check", action="store_true", help="exit 1 when a rate is below its limit")
    parser.set_defaults(run=command)


def command(arguments: argparse.Namespace) -> int:
    try:
        figures = memory.measure(arguments.seconds, show) | uvloop.run(feed.measure(arguments.seconds, show))
    except EmbeddedError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    for name, value in figures.items():
        print(f"{name:32}{value:>14,.2f}  {EXPLAINED[name]}".rstrip())
    problems = misses(figures, AT_LEAST if arguments.check else {})
    for problem in problems:
        print(f"bench: {problem}", file=sys.stderr)
    if arguments.json:
        print(json.dumps({"bench": "fuse", "figures": figures, "machine": machine()}))
    return 1 if problems else 0


def show(what: str, done: float) -> None:
    """`done`: the share of it, [0, 1]."""
    if sys.stderr.isatty() or done >= 1.0:
        width = round(40 * min(done, 1.0))
        end = "\n" if done >= 1.0 else "\r"
        print(f"[{'#' * width:40}] {what}", end=end, file=sys.stderr, flush=True)
