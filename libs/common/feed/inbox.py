"""What a stream has brought and the follower has not applied yet."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

from google.protobuf.message import DecodeError

from libs.common.feed.handler import FeedEvent, Read, UnknownEvent
from libs.common.feed.stop import FeedStoppedError
from libs.common.values import maker
from quietus.common.v1.feed_pb2 import FeedPayload

# Whose events that are about nobody are, so that they too keep their order when one fails.
NOBODY: Final = UUID(int=0)
_EVENTS_IN_A_TURN: Final = 16


class ReceivedEvent(NamedTuple):
    """person: whom the event is about, or NOBODY."""

    person: UUID
    event: FeedEvent


_RECEIVED = maker(ReceivedEvent)


@dataclass(frozen=True, slots=True)
class ReceivedBatch:
    """What the source committed at one position, readable throughout. size in bytes."""

    position: int
    commit_time: datetime
    events: Sequence[ReceivedEvent]
    size: int


def read_payload(
    payload: bytes,
    position: int,
    commit_time: datetime,
    read: Callable[[bytes], Read],
    first_index: int = 0,
) -> ReceivedBatch:
    """Raises FeedStoppedError when any of it can't be read: nothing of such a batch is applied."""
    with _stopping():
        events = list(_events(payload, position, commit_time, read, first_index))
    return ReceivedBatch(position, commit_time, events, len(payload))


def _events(
    payload: bytes, position: int, commit_time: datetime, read: Callable[[bytes], Read], first_index: int
) -> Iterator[ReceivedEvent]:
    for index, data in enumerate(FeedPayload.FromString(payload).events, first_index):
        user_id, content = read(data)
        yield _RECEIVED((user_id or NOBODY, FeedEvent(position, index, data, commit_time, content)))


@contextmanager
def _stopping() -> Iterator[None]:
    try:
        yield
    except UnknownEvent:
        raise FeedStoppedError("UNKNOWN_EVENT") from None
    except (DecodeError, ValueError):
        raise FeedStoppedError("UNREADABLE_BATCH") from None


class Inbox:
    """For one task that puts and one that takes. Bounded in bytes: who applies slowly slows down the stream.

    They are the stream's bytes. What was read of them takes about five times as much.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._batches: deque[ReceivedBatch] = deque()
        self._end: Exception | None = None
        self._ended = False
        self._something = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()

    async def put(self, batch: ReceivedBatch) -> None:
        """Waits for room first."""
        await self._room.wait()
        self._batches.append(batch)
        self._add_bytes(batch.size)
        self._something.set()

    async def receive(
        self, payload: bytes, position: int, commit_time: datetime, read: Callable[[bytes], Read]
    ) -> None:
        """Reads a payload and puts it. Where enough waits already, a few events in each turn of the loop: so some are
        left to read while the taker waits.
        """
        events = []
        with _stopping():
            for event in _events(payload, position, commit_time, read, 0):
                events.append(event)
                if len(events) % _EVENTS_IN_A_TURN == 0 and self._bytes > self._max_bytes // 2:
                    await asyncio.sleep(0)
        await self.put(ReceivedBatch(position, commit_time, events, len(payload)))

    def end(self, error: Exception | None = None) -> None:
        """Nothing more will come; the error is raised to the taker after all that came before it."""
        self._ended, self._end = True, error
        self._something.set()

    async def take(self, max_events: int) -> list[ReceivedBatch]:
        """Waits for a batch and takes with it what waits too, up to about max_events. Empty at the end."""
        await self._something.wait()
        taken: list[ReceivedBatch] = []
        count = 0
        while self._batches and count < max_events:
            taken.append(self._batches.popleft())
            self._add_bytes(-taken[-1].size)
            count += len(taken[-1].events)
        if not taken and self._end is not None:
            raise self._end
        if not self._batches and not self._ended:
            self._something.clear()
        return taken

    def _add_bytes(self, size: int) -> None:
        self._bytes += size
        if self._bytes < self._max_bytes:
            self._room.set()
        else:
            self._room.clear()
