"""`python -m deploy.demo`: simulates people over weeks and shows the whole road; --input replays CREMA-D instead."""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path

from tqdm import tqdm

from deploy.demo import duty, readback, report, weeks
from deploy.demo.people import make_counselor, make_person
from deploy.demo.suite import Suite, own_suite, running_suite
from deploy.local.supervisor import StartError
from quietus.common.v1.types_pb2 import RISK_LEVEL_HIGH


def say(text: str) -> None:
    print(text, flush=True)


async def simulate(suite: Suite, as_json: bool) -> None:
    counselor = await make_counselor(suite)
    people = await asyncio.gather(*(make_person(suite, name, counselor) for name in weeks.PERSONAS))
    planned = {person.name: weeks.planned(person.name) for person in people}
    chunks = sum(len(session.chunks) for sessions in planned.values() for session in sessions)
    with tempfile.TemporaryDirectory() as spools, tqdm(total=chunks, unit=" chunks", file=sys.stderr) as bar:
        await asyncio.gather(
            *(
                weeks.stream(suite, person, planned[person.name], Path(spools) / person.name, bar.update)
                for person in people
            )
        )
    await asyncio.gather(*(weeks.settle(suite, person, planned[person.name]) for person in people))
    known = [await readback.read_back(suite, person, counselor) for person in people]
    names = {one.person.anonymous_id: one.person.name for one in known}
    at_risk = {one.person.anonymous_id for one in known if one.assessment.level >= RISK_LEVEL_HIGH}
    alerts = [a for a in await duty.open_alerts(suite, counselor, at_risk) if a.anonymous_id in names]
    lives = [(names[alert.anonymous_id], await duty.work_through(suite, counselor, alert)) for alert in alerts]
    if as_json:
        say(json.dumps(report.as_json(known, lives)))
        return
    say(f"\nStored, and the risk of each person's newest session\n{report.people_table(known)}")
    say(f"\nWhy\n{report.explanations(known)}")
    say(f"\nThe interface of each person, and what changed last\n{report.interfaces(known)}")
    say(f"\nAlerts, from opened to resolved\n{report.alert_lives(lives)}")


async def run(arguments: argparse.Namespace) -> None:
    started = time.monotonic()
    if not arguments.json:
        say("starting the suite ..." if not arguments.running else "talking to the running suite ...")
    async with running_suite() if arguments.running else own_suite() as suite:
        if arguments.input:
            # The fit is needed for this alone, and is no part of the image of the services.
            from deploy.demo import crema_d  # noqa: PLC0415

            await crema_d.replay(suite, arguments.input, arguments.json)
        else:
            await simulate(suite, arguments.json)
    if not arguments.json:
        say(f"\n{time.monotonic() - started:.0f} s")


def main() -> int:
    parser = argparse.ArgumentParser(prog="deploy.demo", description=__doc__)
    parser.add_argument("--input", type=Path, help="votes.csv of CREMA-D, replayed instead of simulated people")
    parser.add_argument("--running", action="store_true", help="use the suite that runs already")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    if arguments.input and not arguments.input.is_file():
        parser.error(f"no file {arguments.input}")
    try:
        asyncio.run(run(arguments))
    except StartError as error:
        print(f"quietus: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
