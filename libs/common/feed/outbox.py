"""How a transaction tells the feed what it committed: one statement, its last."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID
from zlib import crc32

from quietus.common.v1.feed_pb2 import FeedPayload

if TYPE_CHECKING:
    from libs.common.db.database import Transaction

# Partitions are locked in their order, so that two transactions never wait for each other in a circle; the lock is
# held until COMMIT, so that positions are dense and in commit order.
_APPEND = """
WITH locked AS MATERIALIZED (
    SELECT partition FROM feed_head WHERE partition = ANY($1::smallint[]) ORDER BY partition FOR UPDATE
), head AS (
    UPDATE feed_head h SET position = h.position + 1 FROM locked WHERE h.partition = locked.partition
    RETURNING h.partition, h.position
)
INSERT INTO outbox (partition, position, payload)
SELECT head.partition, head.position, new.payload
FROM head JOIN unnest($1::smallint[], $2::bytea[]) AS new (partition, payload) USING (partition)
RETURNING partition, position, commit_time
"""
_PARTITION_COUNT = "SELECT count(*) FROM feed_head"


class OutboxEvent(NamedTuple):
    """One event: whom it is about (None for nobody) and the serialised Event message of the slice."""

    user_id: UUID | None
    event: bytes


@dataclass(frozen=True, slots=True)
class Batch:
    """What one transaction told one partition. payload: a serialised FeedPayload."""

    partition: int
    position: int
    commit_time: datetime
    payload: bytes


def partition_of(user_id: UUID | None, partitions: int) -> int:
    """The partition of everything that is about a person, the same in every process and version."""
    return 0 if user_id is None or partitions == 1 else crc32(user_id.bytes) % partitions


def payloads_by_partition(events: Iterable[OutboxEvent], partitions: int) -> dict[int, bytes]:
    """A serialised FeedPayload for each partition that the events touch, in their order."""
    grouped: defaultdict[int, list[bytes]] = defaultdict(list)
    for event in events:
        grouped[partition_of(event.user_id, partitions)].append(event.event)
    return {partition: FeedPayload(events=parts).SerializeToString() for partition, parts in grouped.items()}


async def write(tx: Transaction, events: Sequence[OutboxEvent]) -> list[Batch]:
    """Appends one batch for each partition that the events touch. Has to be the last statement of the transaction."""
    payloads = payloads_by_partition(events, await _partition_count(tx))
    rows = await tx.driver.fetch(_APPEND, list(payloads), list(payloads.values()))
    return [Batch(row["partition"], row["position"], row["commit_time"], payloads[row["partition"]]) for row in rows]


async def _partition_count(tx: Transaction) -> int:
    """Asked once a connection: the count is fixed when the slice is made."""
    known = tx.connection.info
    if "feed_partitions" not in known:
        known["feed_partitions"] = await tx.driver.fetchval(_PARTITION_COUNT)
    count: int = known["feed_partitions"]
    return count
