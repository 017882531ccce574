"""`python -m services.<name> parked list|retry`."""

import argparse
import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

from libs.common.db.database import Database
from libs.common.feed.handler import FeedHandler
from libs.common.feed.parked import first_of_each_person
from libs.common.feed.retry import retry_parked
from libs.common.rpc.errors import AppError

Follows = tuple[Database, Mapping[str, FeedHandler]]


def run_parked(open_slice: Callable[[], Awaitable[Follows]], argv: Sequence[str]) -> int:
    """Opens the slice's database and handlers for the command alone. Returns the exit code."""
    return asyncio.run(_run_parked(open_slice, argv))


async def _run_parked(open_slice: Callable[[], Awaitable[Follows]], argv: Sequence[str]) -> int:
    try:
        database, handler_by_source = await open_slice()
    except AppError as error:
        print(f"parked: {error.message}")
        return 1
    try:
        return await parked_main(database, handler_by_source, argv)
    finally:
        await database.close()


async def parked_main(database: Database, handler_by_source: Mapping[str, FeedHandler], argv: Sequence[str]) -> int:
    """argv is what follows `parked`. Returns the exit code: 1 when events are left that can't be applied."""
    parser = argparse.ArgumentParser(prog="parked", description="Events that could not be applied")
    parser.add_argument("action", choices=("list", "retry"))
    parser.add_argument("--source", choices=sorted(handler_by_source), help="default: every source")
    options = parser.parse_args(argv)
    sources = [options.source] if options.source else sorted(handler_by_source)
    try:
        if options.action == "list":
            await _list(database, sources)
            return 0
        return await _retry(database, {source: handler_by_source[source] for source in sources})
    except AppError as error:
        print(f"parked: {error.message}")
        return 1


async def _list(database: Database, sources: Sequence[str]) -> None:
    """One line a person, whom no line names: their first event, why it was parked, how many there are with it."""
    for source in sources:
        async with database.read() as tx:
            people = await first_of_each_person(tx, source)
        for parked in people:
            place = f"{source} {parked.partition}/{parked.position}/{parked.index}"
            print(f"{place}  {parked.park_time:%Y-%m-%d %H:%M:%SZ}  {parked.events} events  {parked.reason}")
        if not people:
            print(f"{source}: nothing is parked")


async def _retry(database: Database, handler_by_source: Mapping[str, FeedHandler]) -> int:
    people_left = 0
    for source, handler in handler_by_source.items():
        retried = await retry_parked(database, source, handler)
        print(f"{source}: {retried.applied} events applied, {retried.people_left} people left with events that fail")
        people_left += retried.people_left
    return 1 if people_left else 0
