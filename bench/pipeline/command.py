"""`python -m bench pipeline`: from the edge's send to a fused row and to an open alert, in one run on this machine."""

import argparse
import asyncio
import json
import sys

from bench.pipeline.run import AT_LEAST, AT_MOST, measure
from bench.report import machine, misses
from deploy.local.supervisor import StartError

EXPLAINED = {
    "fused_vs_ingest": "predictions fused a second by ingest and fusion, to those acknowledged when ingest runs alone",
    "fused_vs_ingest_whole_suite": "the same while patterns and alerts run as well",
    "send_to_fused_p99_ms": "from a device's send to fusion's committed row, at half load (seen by polling every 5 ms)",
    "critical_to_alert_p99_ms": "from a critical chunk's send to the alert on a counselor's WatchAlerts, at half load",
    "send_to_fused_p50_ms": "",
    "critical_to_alert_p50_ms": "",
    "send_to_acknowledgement_p50_ms": "at half load",
    "send_to_acknowledgement_p99_ms": "",
    "half_load_per_second": "half of what the whole road takes: settled_per_second",
    "fused_per_second": "from the first send until all is fused; patterns and alerts are stopped",
    "fused_per_second_whole_suite": "patterns and alerts run as well",
    "settled_per_second": "until patterns and alerts have caught up too",
    "ingest_per_second": "acknowledged while everything runs",
    "ingest_alone_per_second": "acknowledged while fusion, patterns and alerts are stopped",
}


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser(
        "pipeline", help="from the edge to a fused row and to an open alert", description=__doc__
    )
    parser.add_argument("--seconds", type=float, default=10.0, help="of each of the four loads (default: %(default)g)")
    parser.add_argument("--json", action="store_true", help="the last line is one JSON object")
    parser.add_argument("--check", action="store_true", help="exit 1 when a figure misses its limit")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    try:
        figures = asyncio.run(measure(arguments.seconds))
    except StartError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    if arguments.json:
        print(json.dumps({"bench": "pipeline", "figures": figures, "machine": machine()}))
    else:
        for name, value in figures.items():
            print(f"{name:32}{value:>12,.2f}  {EXPLAINED[name]}".rstrip())
    problems = misses(figures, AT_LEAST, AT_MOST) if arguments.check else []
    for problem in problems:
        print(f"bench: {problem}", file=sys.stderr)
    return 1 if problems else 0
