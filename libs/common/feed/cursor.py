"""How far a slice has applied another's feed: one row a source and partition, moved with what was applied."""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from libs.common.db.database import Transaction

# The position of a cursor while its slice is being filled by a backfill.
FILLING: Final = -1

_MOVE = """
UPDATE feed_cursors SET position = $4, update_time = clock_timestamp()
WHERE source = $1 AND partition = $2 AND position = $3 RETURNING position
"""
_CREATE = """
INSERT INTO feed_cursors (source, partition, feed_id, position) VALUES (:source, :partition, :feed_id, :position)
ON CONFLICT DO NOTHING
"""


class CursorMovedError(Exception):
    """Somebody else has applied what this follower was about to: nothing of it may be committed twice."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """position: the newest that is applied, 0 for none, or FILLING."""

    feed_id: UUID
    position: int


async def read_cursor(tx: Transaction, source: str, partition: int) -> Cursor | None:
    """None when nothing of this feed has ever been applied."""
    row = await tx.fetch_one(
        "SELECT feed_id, position FROM feed_cursors WHERE source = :source AND partition = :partition",
        {"source": source, "partition": partition},
    )
    return Cursor(row.feed_id, row.position) if row else None


async def create_cursor(tx: Transaction, source: str, partition: int, cursor: Cursor) -> None:
    """Raises CursorMovedError when there is one already."""
    values = {"source": source, "partition": partition, "feed_id": cursor.feed_id, "position": cursor.position}
    if (await tx.execute(_CREATE, values)).rowcount == 0:
        raise CursorMovedError


async def move_cursor(tx: Transaction, source: str, partition: int, expected: int, position: int) -> None:
    """Raises CursorMovedError unless the cursor stands where it is expected."""
    if await tx.driver.fetchval(_MOVE, source, partition, expected, position) is None:
        raise CursorMovedError
