"""What the owner of a feed reads and keeps, except for the append itself, which is in outbox.py."""

from dataclasses import dataclass
from uuid import UUID

from libs.common.db.database import Transaction
from libs.common.feed.outbox import Batch
from libs.common.feed.window import MAX_READ_BATCHES, MAX_READ_BYTES

# By primary key. The first batch always comes, however large; a payload's size is known without reading it.
_READ = """
SELECT partition, position, commit_time, payload FROM (
    SELECT *, sum(octet_length(payload)) OVER (ORDER BY position) - octet_length(payload) AS bytes_before
    FROM (
        SELECT * FROM outbox WHERE partition = $1 AND position > $2 ORDER BY position LIMIT $3
    ) AS newest
) AS measured
WHERE bytes_before < $4 ORDER BY position
"""
_RECORD_PROGRESS = """
INSERT INTO feed_followers (follower, partition, position) VALUES (:follower, :partition, :position)
ON CONFLICT (follower, partition) DO UPDATE SET position = excluded.position, report_time = clock_timestamp()
"""


@dataclass(frozen=True, slots=True)
class PartitionState:
    """Batches from pruned_position + 1 to head_position are retained."""

    head_position: int
    pruned_position: int


@dataclass(frozen=True, slots=True)
class FeedState:
    """partitions: by number, from 0."""

    feed_id: UUID
    partitions: tuple[PartitionState, ...]


async def read_feed_id(tx: Transaction) -> UUID:
    feed_id: UUID = await tx.scalar("SELECT feed_id FROM feed_identity")
    return feed_id


async def read_state(tx: Transaction) -> FeedState:
    feed_id = await read_feed_id(tx)
    rows = await tx.fetch_all("SELECT position, pruned_position FROM feed_head ORDER BY partition")
    return FeedState(feed_id, tuple(PartitionState(row.position, row.pruned_position) for row in rows))


async def read_batches(tx: Transaction, partition: int, after_position: int) -> list[Batch]:
    """The batches that follow a position, as many as a reader should hold at once."""
    rows = await tx.driver.fetch(_READ, partition, after_position, MAX_READ_BATCHES, MAX_READ_BYTES)
    return [Batch(**row) for row in rows]


async def record_progress(tx: Transaction, follower: str, partition: int, position: int) -> None:
    """Registers the follower when it wasn't; pruning waits for it from now on."""
    await tx.execute(_RECORD_PROGRESS, {"follower": follower, "partition": partition, "position": position})
