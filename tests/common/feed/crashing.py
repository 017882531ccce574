"""A process that follows the feed, or writes to it, until a failpoint kills it."""

import asyncio
import sys

from libs.common.db.database import Database
from libs.common.feed.follower import Follower
from libs.common.feed.tail import Tail
from libs.common.observability.metrics import Metrics
from libs.common.rpc.client import Metadata
from tests.common.feed.slices import PEOPLE, Ledger, Slices, event


class Given:
    def __init__(self, authorization: str) -> None:
        self._metadata = (("authorization", authorization),)

    async def metadata(self) -> Metadata:
        return self._metadata


async def follow(dsn: str, address: str, authorization: str) -> None:
    await Follower(
        Database(dsn, "fusion"),
        source="ingest",
        follower="fusion",
        address=address,
        token=Given(authorization),
        handler=Ledger(),
        metrics=Metrics("fusion"),
        max_events_per_transaction=10,
    ).run()


async def tell(dsn: str) -> None:
    slices = Slices(dsn, Database(dsn, "ingest"), Database(dsn, "fusion"))
    Tail(slices.source, Metrics("ingest"))
    for value in range(10):
        await slices.tell(event(PEOPLE[0], value))


if __name__ == "__main__":
    role, *arguments = sys.argv[1:]
    asyncio.run({"follow": follow, "tell": tell}[role](*arguments))
