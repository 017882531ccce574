"""Follows one partition of a source for as long as the process lives, or until somebody has to look."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Final

import grpc
import structlog

from libs.common.cancellation import pause
from libs.common.clock import utc_now
from libs.common.feed.apply import Applier
from libs.common.feed.cursor import FILLING, Cursor, CursorMovedError, read_cursor
from libs.common.feed.fill import begin
from libs.common.feed.inbox import Inbox, ReceivedBatch
from libs.common.feed.own_feed import OwnFeed
from libs.common.feed.parked import count_parked
from libs.common.feed.source import Follow, Source
from libs.common.feed.stop import ADVICE, FeedStoppedError
from libs.common.feed.store import read_feed_id
from libs.common.observability.metrics import Metrics
from libs.common.rpc.errors import AppError
from libs.common.timestamps import to_datetime
from quietus.common.v1.feed_pb2 import FollowResponse
from quietus_edge.errors import reason_of
from quietus_edge.retry import Backoff

_INBOX_BYTES: Final = 2 * 1024 * 1024
_REPORT_SECONDS: Final = 1.0
# Three signs of life that did not come.
_SILENCE_SECONDS: Final = 15.0

_log = structlog.get_logger()


class PartitionFollower:
    def __init__(self, source: Source, applier: Applier, max_events: int, metrics: Metrics) -> None:
        self._source = source
        self._applier = applier
        self._max_events = max_events
        self._metrics = metrics
        self._own_feed = OwnFeed()
        self._backoff = Backoff(first_seconds=0.1, longest_seconds=10.0)
        self._labels = (source.name, str(applier.partition))
        self._position = 0
        self._head_position = 0
        self._parked = 0

    async def run(self) -> None:
        """Returns when the partition has to stop; everything else is tried again, but for SliceEmptiedError."""
        while True:
            try:
                await self._follow(await self._cursor())
            except FeedStoppedError as stop:
                return self._stop(stop)
            except grpc.aio.AioRpcError as error:
                if (reason := reason_of(error)) in ADVICE:
                    return self._stop(FeedStoppedError(reason))
                self._log_retry(reason or error.code().name)
            except AppError as error:
                self._log_retry(error.reason)
            except (CursorMovedError, TimeoutError) as error:
                self._log_retry(type(error).__name__)
            await pause(self._backoff.next_seconds())

    async def _cursor(self) -> Cursor:
        async with self._applier.database.read() as tx:
            self._own_feed.check(await read_feed_id(tx))
            cursor = await read_cursor(tx, self._source.name, self._applier.partition)
        await self._count_parked()
        if cursor is None:
            cursor = await begin(self._source, self._applier, self._own_feed)
        if cursor.position == FILLING:
            raise FeedStoppedError("BACKFILL_CUT_OFF")
        return cursor

    async def _follow(self, cursor: Cursor) -> None:
        """Ends when the owner ends the stream, as it does before it drains."""
        self._position = cursor.position
        inbox = Inbox(_INBOX_BYTES)
        feed_id = str(cursor.feed_id)
        call = await self._source.follow(feed_id, self._applier.partition, cursor.position)
        try:
            async with _beside(self._receive(call, cursor.position, inbox), self._report(feed_id)):
                while batches := await inbox.take(self._max_events):
                    await self._apply(batches)
        finally:
            call.cancel()

    async def _apply(self, batches: list[ReceivedBatch]) -> None:
        newest = batches[-1]
        events = [event for batch in batches for event in batch.events]
        parked = await self._applier.apply(events, self._position, newest.position)
        self._position = newest.position
        self._metrics.follower_lag_seconds.labels(*self._labels).set((utc_now() - newest.commit_time).total_seconds())
        self._measure_lag()
        if parked:
            await self._count_parked()

    async def _receive(self, call: Follow, position: int, inbox: Inbox) -> None:
        """Whatever goes wrong here is raised to who takes from the inbox, after all that came before."""
        try:
            while (response := await _read(call)) is not None:
                self._backoff.reset()
                self._head_position = response.head_position
                if not response.position:
                    continue
                position += 1
                if response.position != position:
                    raise FeedStoppedError("FEED_GAP")
                commit_time = to_datetime(response.commit_time)
                read = self._applier.handler.read
                await inbox.receive(response.payload, position, commit_time, read)
        except Exception as error:
            inbox.end(error)
        else:
            inbox.end()

    async def _report(self, feed_id: str) -> None:
        """Tells the owner what is committed, and sees whether what was parked has been taken back."""
        reported = self._position
        while True:
            await pause(_REPORT_SECONDS)
            self._measure_lag()
            try:
                if self._position != reported:
                    position = self._position
                    await self._source.report(feed_id, self._applier.partition, position)
                    reported = position
                if self._parked:
                    await self._count_parked()
            except (grpc.aio.AioRpcError, AppError) as error:
                _log.warning("feed progress not reported", **self._place(), error=type(error).__name__)

    async def _count_parked(self) -> None:
        async with self._applier.database.read() as tx:
            self._parked = await count_parked(tx, self._source.name)
        self._metrics.parked_events.labels(self._source.name).set(self._parked)
        self._metrics.set_degraded(f"parked_events:{self._source.name}", self._parked > 0)

    def _measure_lag(self) -> None:
        self._metrics.follower_lag_batches.labels(*self._labels).set(max(0, self._head_position - self._position))

    def _stop(self, stop: FeedStoppedError) -> None:
        self._metrics.set_degraded(f"feed_stopped:{self._source.name}", True)
        _log.error("feed stopped", **self._place(), reason=stop.reason, advice=stop.advice)

    def _log_retry(self, reason: str) -> None:
        _log.warning("feed reconnects", **self._place(), reason=reason)

    def _place(self) -> dict[str, str | int]:
        return {"source": self._source.name, "partition": self._applier.partition, "position": self._position}


async def _read(call: Follow) -> FollowResponse | None:
    """None at the end of the stream. TimeoutError when not even a sign of life comes."""
    async with asyncio.timeout(_SILENCE_SECONDS):
        response = await call.read()
    return response if isinstance(response, FollowResponse) else None


@asynccontextmanager
async def _beside(*coroutines: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Runs the coroutines for as long as the block."""
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
