"""`python -m bench`: measurements, each in one run on this machine."""

import argparse

from bench import soak, streams
from bench.fuse import command as fuse
from bench.growth import command as growth
from bench.ingest import command as ingest
from bench.pipeline import command as pipeline


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    commands = parser.add_subparsers(required=True)
    ingest.add_to(commands)
    streams.add_to(commands)
    growth.add_to(commands)
    fuse.add_to(commands)
    pipeline.add_to(commands)
    soak.add_to(commands)
    arguments = parser.parse_args()
    code: int = arguments.run(arguments)
    return code


if __name__ == "__main__":
    raise SystemExit(main())
