"""`python -m tests.fuzz [--seconds 300] [--seed N] [--replay FILE]`: sends ingest what nobody should send.

What it finds stands in .quietus/fuzz/<seed>, with the server's log; the same seed sends the same again.
"""

import argparse
import asyncio
import random
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.fuzz.run import FoundError, Report, fresh, fuzz, replay
from tests.support import postgres

FOLDER = Path(".quietus/fuzz")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--replay", type=Path, help="a file that a run has left")
    asked = parser.parse_args()
    _say(f"seed {asked.seed}, {asked.seconds:.0f} s")
    with postgres.running_server() as admin_dsn:
        postgres.make_template(admin_dsn)
        try:
            report = asyncio.run(_run(admin_dsn, asked))
        except* FoundError as found:
            for error in _leaves(found):
                _say(f"FOUND (seed {asked.seed}): {error}")
            sys.exit(1)
    _say(
        f"{report.inside} cases inside, {report.streams} streams, {report.connections} connections of odd frames, "
        f"{report.honest_batches} honest batches acknowledged and stored once"
    )
    _say(f"before {report.before}, after {report.after}")
    for end, times in report.ends.most_common():
        _say(f"{times:8} {end}")


async def _run(admin_dsn: str, asked: argparse.Namespace) -> Report:
    dsn = await postgres.create_database(admin_dsn)
    folder = fresh(FOLDER / ("replay" if asked.replay else str(asked.seed)))
    if asked.replay:
        return await replay(dsn, folder, asked.replay)
    return await fuzz(dsn, folder, asked.seed, asked.seconds)


def _leaves(group: BaseExceptionGroup[FoundError]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    main()
