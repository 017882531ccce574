"""Who numbers the batches of a session. Each sender counts for itself, and all numbers of a session are different.

Feed, tables and followers know a client batch by its session and number. So the numbers of a session's first sender
stay as they are, and those of every other are moved to a range of its own.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

NUMBERS = 2**40
SENDERS_MAX = 64


@dataclass(frozen=True, slots=True)
class Sender:
    """`ordinal`: its place among the session's senders, from 0. Times are the server's."""

    sender_id: UUID
    device_id: UUID | None
    ordinal: int
    receive_time: datetime
    last_receive_time: datetime

    @property
    def first_number(self) -> int:
        """Added to each number that it sends."""
        return self.ordinal * NUMBERS
