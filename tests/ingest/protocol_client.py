"""Clients of a real server that write down what they hear, and what the server's tables and its feed hold."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import grpc

from libs.common.db.database import Database
from libs.common.db.roles import dsn_for, slice_role
from libs.common.rpc.errors import reason_of
from quietus.common.v1.feed_pb2 import FeedPayload, FollowRequest, GetFeedRequest
from quietus.common.v1.feed_pb2_grpc import FeedServiceStub
from quietus.ingest.v1 import ingest_pb2
from quietus.ingest.v1.events_pb2 import Event
from tests.ingest import suite
from tests.ingest.protocol_messages import outcome
from tests.ingest.protocol_model import SESSION_ENDED, Batch, Outcome

CREDIT_BATCHES = 6
# None while the database seems away, as it may on a busy machine.
CREDITS = (0, CREDIT_BATCHES)
_PATH = "/quietus.ingest.v1.IngestService/StreamPredictions"


class Server:
    """An ingest service that can be drained; its successor finds the same database."""

    def __init__(self, dsn: str, grace: bool) -> None:
        """`grace` says whether sessions take predictions after their end."""
        self.grace = grace
        self.database = Database(dsn_for(dsn, slice_role("ingest")), "ingest", 4)
        self._suite: suite.Suite | None = None
        self._running = AsyncExitStack()

    @property
    def suite(self) -> suite.Suite:
        assert self._suite
        return self._suite

    async def start(self) -> None:
        settings = {"credit_max_batches": CREDIT_BATCHES, "group_interval_milliseconds": 0}
        if not self.grace:
            settings["session_grace_seconds"] = 0
        self._suite = await self._running.enter_async_context(suite.running(self.database, **settings))

    async def drain(self) -> None:
        await self.suite.server.drain(suite.PATIENCE_SECONDS)

    async def stop(self) -> None:
        await self._running.aclose()

    async def outbox(self, after: int) -> tuple[int, list[Event]]:
        """The newest position, and what was told after this one."""
        async with self.database.read() as tx:
            found = await tx.fetch_all(
                "SELECT position, payload FROM outbox WHERE position > :after ORDER BY position", {"after": after}
            )
        return (found[-1].position if found else after), [one for row in found for one in _events(row.payload)]

    async def followed(self, after: int, through: int) -> list[Event]:
        """The same, as a follower hears it."""
        feed, metadata = FeedServiceStub(self.suite.channel), suite.service_token()
        feed_id = (await feed.GetFeed(GetFeedRequest(), metadata=metadata)).feed_id
        request = FollowRequest(feed_id=feed_id, follower="fusion", after_position=after)
        call = feed.Follow(request, metadata=metadata, timeout=suite.PATIENCE_SECONDS)
        events: list[Event] = []
        while after < through:
            response = await call.read()
            if response.position:
                assert response.position == after + 1
                after = response.position
                events.extend(_events(response.payload))
        call.cancel()
        return events

    async def rows(self, table: str, session_id: object) -> Sequence[Any]:
        async with self.database.read() as tx:
            return await tx.fetch_all(
                f"SELECT * FROM {table} WHERE session_id = :session_id",  # noqa: S608 - a table's name
                {"session_id": session_id},
            )


def _events(payload: bytes) -> list[Event]:
    return [Event.FromString(event) for event in FeedPayload.FromString(payload).events]


@dataclass
class Heard:
    """What became of some batches, in their order, and how the stream ended if it did."""

    outcomes: list[Outcome] = field(default_factory=list)
    code: grpc.StatusCode | None = None
    reason: str = ""
    drained: bool = False
    beats: int = 0

    @property
    def answers(self) -> tuple[Outcome | str, ...]:
        refused = (SESSION_ENDED,) if self.reason == SESSION_ENDED else ()
        return *self.outcomes, *refused


class Client(suite.Stream):
    """One stream. `newest` is the highest number that it sent."""

    def __init__(self, person: suite.Person, channel: grpc.aio.Channel) -> None:
        method = channel.stream_stream(
            _PATH,
            request_serializer=lambda message: message if isinstance(message, bytes) else message.SerializeToString(),
            response_deserializer=ingest_pb2.StreamPredictionsResponse.FromString,
        )
        # No deadline: a stream lives for as long as its example, and that is longer on a busy machine.
        super().__init__(method(metadata=person.metadata))
        self.newest = 0
        self._in_flight: list[Batch] = []

    async def write(self, message: object) -> None:
        """Whoever reads hears why a stream has ended that is written to."""
        try:
            await self.call.write(message)
        except (grpc.RpcError, asyncio.InvalidStateError):
            return

    async def sends(self, batch: Batch, message: object) -> None:
        self.newest = batch.number
        self._in_flight.append(batch)
        await self.write(message)

    async def read(self) -> ingest_pb2.StreamPredictionsResponse:
        response = await self._next()
        if response is grpc.aio.EOF:
            raise await suite.ended(self.call)
        return response

    async def _next(self) -> Any:
        try:
            async with asyncio.timeout(suite.PATIENCE_SECONDS):
                return await self.call.read()
        except TimeoutError:
            raise AssertionError("the server says nothing") from None

    async def hears(self, heard: Heard, most: int = 1_000) -> Heard:
        """Reads until so many batches, or all, are acknowledged."""
        while self._in_flight and len(heard.outcomes) < most:
            if not await self._hears_more(heard):
                break
        return heard

    async def hears_a_beat(self, heard: Heard) -> Heard:
        while not heard.beats and await self._hears_more(heard):
            pass
        return heard

    async def hears_the_end(self, heard: Heard) -> Heard:
        while await self._hears_more(heard):
            pass
        return heard

    async def _hears_more(self, heard: Heard) -> bool:
        try:
            response = await self._next()
        except grpc.aio.AioRpcError as error:
            heard.code, heard.reason = error.code(), reason_of(error)
            return False
        if response is grpc.aio.EOF:
            error = await suite.ended(self.call)
            heard.code, heard.reason = error.code(), reason_of(error)
            return False
        if response.HasField("acknowledgement"):
            heard.outcomes.extend(self._acknowledged(response.acknowledgement))
        heard.beats += response.HasField("heartbeat")
        heard.drained |= response.HasField("drain")
        return True

    def _acknowledged(self, message: ingest_pb2.Acknowledgement) -> list[Outcome]:
        """By the letter: through a number that is in flight, and named exactly if not accepted whole."""
        numbers = [batch.number for batch in self._in_flight]
        assert message.through_batch_number in numbers
        count = numbers.index(message.through_batch_number) + 1
        newly, self._in_flight = self._in_flight[:count], self._in_flight[count:]
        named = {one.batch_number: outcome(one) for one in message.outcomes}
        assert len(named) == len(message.outcomes)
        assert named.keys() <= {batch.number for batch in newly}
        assert not any(one.duplicates == 0 and not one.refusals for one in named.values())
        assert message.credit.max_batches in CREDITS
        return [named.get(batch.number, Outcome.whole(batch)) for batch in newly]
