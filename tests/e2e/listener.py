"""Follows ingest's feed as a service does, through whatever happens, and remembers what it was told."""

import asyncio
from collections.abc import AsyncIterator
from types import TracebackType

import grpc

from deploy.local.plan import Plan
from libs.common.feed.source import Source
from libs.common.rpc.client import ServiceToken, channel
from quietus.common.v1.feed_pb2 import FeedPayload
from quietus.ingest.v1.events_pb2 import Event
from tests.e2e.polling import until
from tests.e2e.promise import Told

# Its token is at hand, and the service itself isn't running.
FOLLOWER = "fusion"
RETRY_SECONDS = 0.05


class Listener:
    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._payloads: list[bytes] = []  # the first is at position 1

    async def __aenter__(self) -> "Listener":
        self._channel = channel(self._plan.address("ingest"))
        self._token = ServiceToken(self._plan.address("identity"), self._plan.secrets_dir / f"{FOLLOWER}.key")
        self._source = Source("ingest", FOLLOWER, self._channel, self._token)
        self._feed_id = (await self._source.feed()).feed_id
        self._task = asyncio.create_task(self._listen())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._token.close()
        await self._channel.close()

    async def head(self) -> int:
        return (await self._source.feed()).partitions[0].head_position

    async def told(self, after: int) -> list[Told]:
        """What was told from there to the head; the same to whoever asks now as to whoever followed all the time."""
        head = await self.head()
        await until(lambda: self._task.done() or len(self._payloads) >= head, "the listener reaches the head")
        if self._task.done():
            self._task.result()
        asked: list[bytes] = []
        if after < head:
            async for position, payload in self._follow(after):
                asked.append(payload)
                if position == head:
                    break
        assert asked == self._payloads[after:head], "whoever follows is told something else than whoever asks later"
        return [told for payload in asked for told in _predictions(payload)]

    async def _listen(self) -> None:
        while True:
            try:
                async for _, payload in self._follow(len(self._payloads)):
                    self._payloads.append(payload)
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise
            await asyncio.sleep(RETRY_SECONDS)

    async def _follow(self, after: int) -> AsyncIterator[tuple[int, bytes]]:
        """(position, payload), without a gap."""
        call = await self._source.follow(self._feed_id, 0, after)
        try:
            async for response in call:
                if response.position:
                    after += 1
                    assert response.position == after, f"the feed went from {after - 1} to {response.position}"
                    yield after, response.payload
        finally:
            call.cancel()


def _predictions(payload: bytes) -> list[Told]:
    events = [Event.FromString(event) for event in FeedPayload.FromString(payload).events]
    committed = [event.predictions_committed for event in events if event.HasField("predictions_committed")]
    return [Told(one.session_id, one.batch) for one in committed]
