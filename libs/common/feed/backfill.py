"""The events of a feed anew, from the owner's tables, for a follower that needs more than what is retained."""

from collections.abc import AsyncIterator
from typing import Final, Protocol

from libs.common.db.database import Transaction
from libs.common.feed.outbox import OutboxEvent, partition_of
from quietus.common.v1.feed_pb2 import FeedPayload

_PAYLOAD_BYTES: Final = 1024 * 1024


class BackfillSource(Protocol):
    """What a slice offers of its tables."""

    def events(self, tx: Transaction) -> AsyncIterator[OutboxEvent]:
        """Every event that the feed has told up to the snapshot of tx; those of a person in the feed's order."""
        ...


async def payloads(events: AsyncIterator[OutboxEvent], partition: int, partitions: int) -> AsyncIterator[bytes]:
    """The events of one partition, as serialised FeedPayloads of about a megabyte."""
    waiting: list[bytes] = []
    size = 0
    async for event in events:
        if partition_of(event.user_id, partitions) != partition:
            continue
        waiting.append(event.event)
        size += len(event.event)
        if size >= _PAYLOAD_BYTES:
            yield FeedPayload(events=waiting).SerializeToString()
            waiting, size = [], 0
    if waiting:
        yield FeedPayload(events=waiting).SerializeToString()
