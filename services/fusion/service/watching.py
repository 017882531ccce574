"""Sessions that somebody watches. However many watch one, it is looked at once after each commit that changed it, and
they are handed its newest state: wakes coalesce, so who is slow skips states and nothing queues.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

from libs.common.feed.outbox import Batch
from quietus.common.v1.feed_pb2 import FeedPayload
from quietus.fusion.v1.events_pb2 import Event
from services.fusion.records import SessionRisk

# What is committed elsewhere, and what tells no feed, is seen by looking, at the latest this often.
LOOK_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Sighting:
    """A session at one moment. `risk` is None while nothing of it is fused, and again once its person is deleted."""

    risk: SessionRisk | None
    carers: frozenset[UUID]  # counselors in whose care the person is


Look = Callable[[UUID], Awaitable[Sighting]]


class WatchedSession:
    """Looks until it is closed."""

    def __init__(self, look: Callable[[], Awaitable[Sighting]]) -> None:
        self.watches = 0
        self._look = look
        self._bell = asyncio.Event()
        self._looks_begun = self._looks_done = 0
        self._newest = Sighting(None, frozenset())
        self._version = 0  # of the newest; 0 before the first look
        self._looked = asyncio.Event()
        self._task = asyncio.create_task(self._keep_looking())
        self._task.add_done_callback(lambda _: self._looked.set())

    @property
    def is_over(self) -> bool:
        return self._task.done()

    def ring(self) -> int:
        """Asks for a look that begins after now; returns its number."""
        self._bell.set()
        return self._looks_begun + 1

    def close(self) -> None:
        self._task.cancel()

    async def newest(self, version: int, look: int) -> tuple[int, Sighting]:
        """With its version, as soon as that is greater and this look is done. Raises what a look raised."""
        while self._version <= version or self._looks_done < look:
            if self._task.done():
                self._task.result()
            await self._looked.wait()
        return self._version, self._newest

    async def _keep_looking(self) -> None:
        while True:
            self._bell.clear()
            self._looks_begun += 1
            sighting = await self._look()
            if sighting != self._newest or not self._version:
                self._newest = sighting
                self._version += 1
            self._looks_done = self._looks_begun
            self._looked.set()
            self._looked = asyncio.Event()
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._bell.wait()
            except TimeoutError:
                continue


class Watch:
    """One watcher's place. It begins with a look of its own time, so that nobody is judged by what was before."""

    def __init__(self, watched: WatchedSession) -> None:
        self._watched = watched
        self._version = 0
        self._look = watched.ring()

    async def next(self) -> Sighting:
        """The newest, as soon as it isn't the one before."""
        self._version, sighting = await self._watched.newest(self._version, self._look)
        return sighting


class Watchers:
    """`published` is the database's hook after a commit that told the feed something."""

    def __init__(self, look: Look) -> None:
        self._look = look
        self._watched: dict[UUID, WatchedSession] = {}

    def __len__(self) -> int:
        """Sessions that are watched."""
        return len(self._watched)

    def published(self, batches: Sequence[Batch]) -> None:
        if not self._watched:
            return
        for batch in batches:
            for event in FeedPayload.FromString(batch.payload).events:
                if watched := self._watched.get(_session_of(Event.FromString(event))):
                    watched.ring()

    @contextmanager
    def watching(self, session_id: UUID) -> Iterator[Watch]:
        watched = self._watched.get(session_id)
        if watched is None or watched.is_over:
            watched = self._watched[session_id] = WatchedSession(lambda: self._look(session_id))
        watched.watches += 1
        try:
            yield Watch(watched)
        finally:
            watched.watches -= 1
            if not watched.watches:
                watched.close()
                if self._watched.get(session_id) is watched:
                    del self._watched[session_id]


def _session_of(event: Event) -> UUID:
    return UUID((event.chunks_fused if event.HasField("chunks_fused") else event.session_settled).session_id)
