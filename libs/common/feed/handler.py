"""What a slice implements to follow another's feed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Protocol
from uuid import UUID

from libs.common.values import value

if TYPE_CHECKING:
    from libs.common.db.database import Transaction


class UnknownEvent(Exception):  # noqa: N818 - it names what came, not a fault
    """The event is of a kind that this follower doesn't know: its partition stops, because skipping would lose it."""


@value
class FeedEvent:
    """One event of a feed. Position, index and commit_time place it and measure lag; nothing that is derived may
    depend on them, since a backfill has others."""

    position: int
    index: int
    data: bytes
    commit_time: datetime


class FeedHandler(Protocol):
    """A fold over events in (position, index) order. How events are grouped into calls never changes the outcome."""

    def user_of(self, event: bytes) -> UUID | None:
        """The person whom a serialised Event of the source is about, None for nobody.

        Raises UnknownEvent when its kind is unset or not known here.
        """
        ...

    async def apply(self, tx: Transaction, events: Sequence[FeedEvent]) -> None:
        """Writes what follows from the events through tx alone; it may run again after an error."""
        ...
