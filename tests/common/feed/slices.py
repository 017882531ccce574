"""A slice that tells numbers of people, and one that folds them."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import UUID

from libs.common.db.database import Database, Transaction
from libs.common.feed.backfill import BackfillSource
from libs.common.feed.follower import FeedEvent, Follower, Read, UnknownEvent
from libs.common.feed.outbox import OutboxEvent
from libs.common.feed.servicer import FeedServicer
from libs.common.feed.tail import Tail
from libs.common.observability.metrics import Metrics
from libs.common.rpc.client import Metadata
from libs.common.rpc.server import ServerParts, Servicer
from libs.common.settings import CommonSettings
from quietus.common.v1.feed_pb2_grpc import FeedServiceStub, add_FeedServiceServicer_to_server
from tests.common.rpc.harness import Serving, serving

# Order and count of what was applied both change the fold.
LEDGER = """
CREATE TABLE fusion.ledger (
    source TEXT, user_id UUID, fold BIGINT NOT NULL, events BIGINT NOT NULL, PRIMARY KEY (source, user_id)
)
"""
TOLD = "CREATE TABLE ingest.told (number BIGSERIAL PRIMARY KEY, user_id UUID NOT NULL, event BYTEA NOT NULL)"
EMPTY = """
DELETE FROM fusion.ledger; DELETE FROM fusion.outbox; DELETE FROM fusion.feed_followers;
DELETE FROM fusion.feed_cursors; DELETE FROM fusion.parked_events;
DELETE FROM ingest.told; DELETE FROM ingest.outbox; DELETE FROM ingest.feed_followers;
UPDATE fusion.feed_head SET position = 0, pruned_position = 0;
UPDATE ingest.feed_head SET position = 0, pruned_position = 0;
UPDATE ingest.feed_identity SET feed_id = gen_random_uuid();
"""
_PRIME = 2_147_483_647
_ADD = """
INSERT INTO ledger (source, user_id, fold, events) VALUES (:source, :user_id, :value, 1) ON CONFLICT (source, user_id)
DO UPDATE SET fold = (ledger.fold * 31 + excluded.fold) % 2147483647, events = ledger.events + 1
"""

PEOPLE = tuple(UUID(int=number) for number in range(1, 21))
POISON = -1
UNKNOWN = -2


def event(person: UUID, value: int) -> OutboxEvent:
    """POISON fails in the handler; UNKNOWN is of a kind that it doesn't know."""
    return OutboxEvent(person, json.dumps([str(person), value]).encode())


def folded(values: Sequence[int]) -> tuple[int, int]:
    """What the ledger has to say after these values of a person."""
    fold = values[0]
    for value in values[1:]:
        fold = (fold * 31 + value) % _PRIME
    return fold, len(values)


class Ledger:
    """The handler. `poisonous` values fail until somebody mends it."""

    def __init__(self, source: str = "ingest") -> None:
        self.source = source
        self.poisonous = {POISON}
        self.on_apply: Callable[[], None] = lambda: None

    def read(self, data: bytes) -> Read:
        person, value = json.loads(data)
        if value == UNKNOWN:
            raise UnknownEvent
        return Read(UUID(person), value)

    async def apply(self, tx: Transaction, events: Sequence[FeedEvent]) -> None:
        self.on_apply()
        for each in events:
            person, value = json.loads(each.data)[0], each.content
            tx.append_to_outbox([OutboxEvent(UUID(person), each.data)])
            await tx.execute(_ADD, {"source": self.source, "user_id": UUID(person), "value": value})
            if value in self.poisonous:
                raise ValueError("a text that may hold anything")


class Told:
    """The backfill source."""

    async def events(self, tx: Transaction) -> AsyncIterator[OutboxEvent]:
        for row in await tx.fetch_all("SELECT user_id, event FROM told ORDER BY number"):
            yield OutboxEvent(row.user_id, row.event)


@dataclass
class Token:
    """A service's, for the server that runs now."""

    at: Serving
    running: "asyncio.Task[None]" = field(init=False)

    async def metadata(self) -> Metadata:
        return self.at.tokens.metadata(service="fusion")


@dataclass
class Slices:
    dsn: str
    source: Database
    follower: Database
    metrics: Metrics = field(default_factory=lambda: Metrics("fusion"))

    async def tell(self, *events: OutboxEvent) -> None:
        """In one transaction, which also keeps them in a table for a backfill."""
        async with self.source.transaction() as tx:
            rows = [{"user_id": each.user_id, "event": each.event} for each in events]
            await tx.execute("INSERT INTO told (user_id, event) VALUES (:user_id, :event)", rows)
            tx.append_to_outbox(events)

    async def forget_through(self, position: int) -> None:
        """As pruning does."""
        async with self.source.transaction() as tx:
            await tx.execute("DELETE FROM outbox WHERE position <= :position", {"position": position})
            await tx.execute("UPDATE feed_head SET pruned_position = :position", {"position": position})

    @asynccontextmanager
    async def serving(
        self, backfill: BackfillSource | None = None, heartbeat_seconds: float = 5.0, port: int = 0
    ) -> AsyncIterator[Serving]:
        """The feed of the source, as its service serves it."""
        tail = Tail(self.source, Metrics("ingest"))
        servicer = FeedServicer(self.source, tail, backfill, heartbeat_seconds)
        service = Servicer(add_FeedServiceServicer_to_server, servicer, "quietus.common.v1.FeedService")
        running = asyncio.create_task(tail.run())
        try:
            async with serving(ServerParts("ingest", [service]), CommonSettings(port=port)) as at:
                yield at
        finally:
            await _cancelled(running)
            self.source.after_append.remove(tail.publish)
            self.source.commit_failed.remove(tail.forget)

    @asynccontextmanager
    async def following(self, at: Serving, handler: Ledger, max_events: int = 2000) -> AsyncIterator[Token]:
        token = Token(at)
        follower = Follower(
            self.follower,
            source="ingest",
            follower="fusion",
            address=at.address,
            token=token,
            handler=handler,
            metrics=self.metrics,
            max_events_per_transaction=max_events,
        )
        token.running = asyncio.create_task(follower.run())
        try:
            yield token
        finally:
            await _cancelled(token.running)

    async def until(self, condition: str, **values: object) -> None:
        """Waits until the query, in the follower's slice, answers true. The test's own timeout bounds it."""
        async with asyncio.timeout(20):
            while True:
                async with self.follower.read() as tx:
                    if await tx.scalar(condition, values):
                        return
                await asyncio.sleep(0.01)

    async def until_applied(self) -> None:
        """Waits until every cursor stands at its partition's head."""
        async with self.source.read() as tx:
            heads = {row.partition: row.position for row in await tx.fetch_all("SELECT * FROM feed_head")}
        for partition, position in heads.items():
            await self.until(
                "SELECT count(*) > 0 FROM feed_cursors WHERE partition = :partition AND position >= :position",
                partition=partition,
                position=position,
            )

    async def ledger(self) -> dict[UUID, tuple[int, int]]:
        async with self.follower.read() as tx:
            rows = await tx.fetch_all("SELECT user_id, fold, events FROM ledger")
        return {row.user_id: (row.fold, row.events) for row in rows}


async def eventually(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 - what is watched tells nobody
            await asyncio.sleep(0.01)


def stub(at: Serving) -> FeedServiceStub:
    return FeedServiceStub(at.channel)


async def _cancelled(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
