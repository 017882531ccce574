"""Ingest and a follower of its feed, in one process and over a real channel."""

import asyncio
import math
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from libs.common.db.database import Database
from libs.common.feed.follower import Follower
from libs.common.feed.outbox import OutboxEvent
from libs.common.observability.metrics import Metrics
from libs.common.rpc.client import Metadata
from quietus.ingest.v1.events_pb2 import Event
from services.fusion.fold import Models
from services.fusion.follower import IngestHandler
from tests.fusion.events import everything, table
from tests.ingest.suite import Suite, service_token

# Longer than anything here takes: a bound on a hanging test, not a measurement.
PATIENCE_SECONDS = 30.0
POLL_SECONDS = 0.01


class Token:
    async def metadata(self) -> Metadata:
        return service_token("fusion")


@dataclass(frozen=True)
class Road:
    """Ingest behind a real channel, and fusion that follows its feed."""

    ingest: Suite
    fusion: Database

    async def followed(self) -> None:
        """Returns when fusion has applied everything, or parked it."""
        async with self.ingest.database.read() as tx:
            heads = {row.partition: row.position for row in await tx.fetch_all("SELECT * FROM feed_head")}
        async with asyncio.timeout(PATIENCE_SECONDS):
            while await self._positions() != heads:  # noqa: ASYNC110 - a cursor tells nobody
                await asyncio.sleep(POLL_SECONDS)

    async def _positions(self) -> Mapping[int, int]:
        async with self.fusion.read() as tx:
            rows = await tx.fetch_all("SELECT partition, position FROM feed_cursors WHERE source = 'ingest'")
        return {row.partition: row.position for row in rows}

    async def tell(self, user_id: UUID, event: Event) -> None:
        """As if ingest had a fault."""
        async with self.ingest.database.transaction() as tx:
            tx.append_to_outbox([OutboxEvent(user_id, event.SerializeToString())])


@asynccontextmanager
async def following(ingest: Suite, fusion: Database, models: Models) -> AsyncIterator[Road]:
    follower = Follower(
        fusion,
        source="ingest",
        follower="fusion",
        address=ingest.address,
        token=Token(),
        handler=IngestHandler(models),
        metrics=Metrics("fusion"),
    )
    task = asyncio.create_task(follower.run())
    try:
        yield Road(ingest, fusion)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def parked(road: Road) -> Mapping[UUID, int]:
    """How many events of whom."""
    return Counter(row["user_id"] for row in await table(road.fusion, "parked_events"))


async def assert_finite(database: Database) -> None:
    """Every number of every derived row."""
    for name, rows in (await everything(database)).items():
        for row in rows:
            for column, value in row.items():
                numbers = value if isinstance(value, list) else [value]
                strange = [one for one in numbers if isinstance(one, float | Decimal) and not math.isfinite(one)]
                assert not strange, (name, column)
