"""Follows another slice's feed: what its events mean here is the handler's; that each counts once is this folder's."""

import asyncio
from typing import Final

import grpc
import structlog

from libs.common.cancellation import pause
from libs.common.db.database import Database
from libs.common.feed.apply import Applier
from libs.common.feed.handler import FeedEvent, FeedHandler, Read, UnknownEvent
from libs.common.feed.partition import PartitionFollower
from libs.common.feed.source import Credentials, Source
from libs.common.observability.metrics import Metrics
from libs.common.rpc.client import channel
from libs.common.rpc.errors import AppError
from quietus_edge.errors import reason_of
from quietus_edge.retry import Backoff

__all__ = ["FeedEvent", "FeedHandler", "Follower", "Read", "UnknownEvent"]

MAX_EVENTS_PER_TRANSACTION: Final = 2000

_log = structlog.get_logger()


class Follower:
    """`source` and `follower` are slices' names, `address` is the source's. One process of a slice runs it."""

    def __init__(
        self,
        database: Database,
        *,
        source: str,
        follower: str,
        address: str,
        token: Credentials,
        handler: FeedHandler,
        metrics: Metrics,
        max_events_per_transaction: int = MAX_EVENTS_PER_TRANSACTION,
    ) -> None:
        self._database = database
        self._source = source
        self._follower = follower
        self._address = address
        self._token = token
        self._handler = handler
        self._metrics = metrics
        self._max_events = max_events_per_transaction

    async def run(self) -> None:
        """Follows every partition until it is cancelled; returns if all of them had to stop. Raises SliceEmptiedError,
        in a group.
        """
        async with channel(self._address) as source_channel:
            source = Source(self._source, self._follower, source_channel, self._token)
            count = await self._partition_count(source)
            async with asyncio.TaskGroup() as group:
                for number in range(count):
                    applier = Applier(self._database, self._source, number, self._handler)
                    partition = PartitionFollower(source, applier, self._max_events, self._metrics)
                    group.create_task(partition.run())

    async def _partition_count(self, source: Source) -> int:
        """Waits for the source to be there. The count never changes."""
        backoff = Backoff(first_seconds=0.1, longest_seconds=5.0)
        while True:
            try:
                return len((await source.feed()).partitions)
            except (grpc.aio.AioRpcError, AppError) as error:
                reason = error.reason if isinstance(error, AppError) else reason_of(error) or error.code().name
                _log.warning("feed waits for its source", source=self._source, reason=reason)
                await pause(backoff.next_seconds())
