"""What a slice implements to follow another's feed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from uuid import UUID

from libs.common.values import value

if TYPE_CHECKING:
    from libs.common.db.database import Transaction


class UnknownEvent(Exception):  # noqa: N818 - it names what came, not a fault
    """The event is of a kind that this follower doesn't know: its partition stops, because skipping would lose it."""


class Read(NamedTuple):
    """What a handler reads in an event: the person whom it is about, None for nobody, and what `apply` wants of it."""

    user_id: UUID | None
    content: Any


@value
class FeedEvent:
    """One event of a feed. Position, index and commit_time place it and measure lag; nothing that is derived may
    depend on them, since a backfill has others. `content` is what the handler read in the data."""

    position: int
    index: int
    data: bytes
    commit_time: datetime
    content: Any


class FeedHandler(Protocol):
    """A fold over events in (position, index) order. How events are grouped into calls never changes the outcome."""

    def read(self, event: bytes) -> Read:
        """Of a serialised Event of the source; pure, for it runs while earlier events wait for the database.

        Raises UnknownEvent when its kind is unset or not known here. DecodeError and ValueError stop the partition:
        a fault that is to park one person alone has to wait for `apply`.
        """
        ...

    async def apply(self, tx: Transaction, events: Sequence[FeedEvent]) -> None:
        """Writes what follows from the events through tx alone; it may run again after an error."""
        ...


def read_event(handler: FeedHandler, position: int, index: int, data: bytes, commit_time: datetime) -> FeedEvent:
    return FeedEvent(position, index, data, commit_time, handler.read(data).content)
