"""FeedService: a slice's feed for everybody who follows it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc

from libs.common.db.database import Database
from libs.common.feed.backfill import BackfillSource, payloads
from libs.common.feed.outbox import Batch
from libs.common.feed.store import FeedState, PartitionState, read_state, record_progress
from libs.common.feed.tail import Tail
from libs.common.rpc.caller import current_caller
from libs.common.rpc.drain import current_drain
from libs.common.rpc.errors import AppError, ErrorKind
from libs.common.timestamps import to_timestamp
from quietus.common.v1.feed_pb2 import (
    BackfillRequest,
    BackfillResponse,
    FeedPartition,
    FollowRequest,
    FollowResponse,
    GetFeedRequest,
    GetFeedResponse,
    ReportProgressRequest,
    ReportProgressResponse,
)
from quietus.common.v1.feed_pb2_grpc import FeedServiceServicer

HEARTBEAT_SECONDS = 5.0

Context = grpc.aio.ServicerContext[Any, Any]


class FeedServicer(FeedServiceServicer):
    """Without a backfill source the slice's followers can only start while nothing has been pruned."""

    def __init__(
        self,
        database: Database,
        tail: Tail,
        backfill: BackfillSource | None = None,
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
    ) -> None:
        self._database = database
        self._tail = tail
        self._backfill = backfill
        self._heartbeat_seconds = heartbeat_seconds

    async def GetFeed(self, request: GetFeedRequest, context: Context) -> GetFeedResponse:
        async with self._database.read() as tx:
            state = await read_state(tx)
        partitions = [
            FeedPartition(partition=number, head_position=at.head_position, pruned_position=at.pruned_position)
            for number, at in enumerate(state.partitions)
        ]
        return GetFeedResponse(feed_id=str(state.feed_id), partitions=partitions)

    async def Follow(self, request: FollowRequest, context: Context) -> AsyncIterator[FollowResponse]:
        await self._record(request, request.after_position)
        partition, position = request.partition, request.after_position
        signal = current_drain()
        drain = asyncio.ensure_future(signal.wait())
        try:
            with self._tail.followed():
                while not signal.is_set():
                    batches = await self._tail.after(partition, position)
                    for batch in batches:
                        if batch.position != position + 1:
                            raise _pruned()
                        yield self._response(batch)
                        position = batch.position
                    if not batches and not await self._wait_for_news(partition, position, drain):
                        yield FollowResponse(head_position=self._tail.head(partition))
        finally:
            drain.cancel()

    async def ReportProgress(self, request: ReportProgressRequest, context: Context) -> ReportProgressResponse:
        await self._record(request, request.position)
        return ReportProgressResponse()

    async def Backfill(self, request: BackfillRequest, context: Context) -> AsyncIterator[BackfillResponse]:
        if self._backfill is None:
            raise AppError(ErrorKind.UNIMPLEMENTED, "BACKFILL_NOT_OFFERED")
        # One snapshot, held for as long as the stream lasts: only so is known through which position it goes.
        async with self._database.read() as tx:
            state = await read_state(tx)
            at = _partition(state, request.partition)
            events = self._backfill.events(tx)
            async for payload in payloads(events, request.partition, len(state.partitions)):
                yield BackfillResponse(payload=payload)
        yield BackfillResponse(feed_id=str(state.feed_id), through_position=at.head_position)

    async def _record(self, request: FollowRequest | ReportProgressRequest, position: int) -> None:
        if current_caller().service != request.follower:
            raise AppError(ErrorKind.PERMISSION_DENIED, "FOLLOWER_IS_ANOTHER", "a service speaks for itself alone")
        async with self._database.transaction() as tx:
            check_position(await read_state(tx), request.feed_id, request.partition, position)
            await record_progress(tx, request.follower, request.partition, position)

    async def _wait_for_news(self, partition: int, position: int, drain: "asyncio.Future[None]") -> bool:
        """False when nothing came for so long that the follower needs a sign of life."""
        news = asyncio.ensure_future(self._tail.wait_beyond(partition, position))
        try:
            done, _ = await asyncio.wait(
                {news, drain}, timeout=self._heartbeat_seconds, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            news.cancel()
        return bool(done)

    def _response(self, batch: Batch) -> FollowResponse:
        return FollowResponse(
            position=batch.position,
            head_position=max(batch.position, self._tail.head(batch.partition)),
            commit_time=to_timestamp(batch.commit_time),
            payload=batch.payload,
        )


def check_position(state: FeedState, feed_id: str, partition: int, position: int) -> None:
    """Raises AppError when nothing can follow the position: FEED_CHANGED, FEED_PRUNED or FEED_BEYOND_HEAD."""
    if feed_id != str(state.feed_id):
        raise AppError(ErrorKind.FAILED_PRECONDITION, "FEED_CHANGED", "the position is of another feed")
    at = _partition(state, partition)
    if position < at.pruned_position:
        raise _pruned()
    if position > at.head_position:
        raise AppError(ErrorKind.FAILED_PRECONDITION, "FEED_BEYOND_HEAD", "the feed has no such position yet")


def _partition(state: FeedState, partition: int) -> PartitionState:
    if partition >= len(state.partitions):
        raise AppError(ErrorKind.INVALID_ARGUMENT, "NO_SUCH_PARTITION", field="partition")
    return state.partitions[partition]


def _pruned() -> AppError:
    return AppError(ErrorKind.FAILED_PRECONDITION, "FEED_PRUNED", "what follows the position is no longer retained")
