"""Wakes those who watch a session when something of it was committed. A watcher then reads the state as it is: wakes
coalesce, so a slow one skips states and nothing queues.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from uuid import UUID

from libs.common.feed.outbox import Batch
from quietus.common.v1.feed_pb2 import FeedPayload
from quietus.fusion.v1.events_pb2 import Event

# What other processes commit is seen by looking, at the latest this often.
LOOK_SECONDS = 5.0


class Watchers:
    """`published` is the database's hook after a commit that told the feed something."""

    def __init__(self) -> None:
        self._bells: defaultdict[UUID, set[asyncio.Event]] = defaultdict(set)

    def published(self, batches: Sequence[Batch]) -> None:
        if not self._bells:
            return
        for batch in batches:
            for event in FeedPayload.FromString(batch.payload).events:
                self._wake(_session_of(Event.FromString(event)))

    def _wake(self, session_id: UUID) -> None:
        for bell in self._bells.get(session_id, ()):
            bell.set()

    @contextmanager
    def bell(self, session_id: UUID) -> Iterator[asyncio.Event]:
        bell = asyncio.Event()
        self._bells[session_id].add(bell)
        try:
            yield bell
        finally:
            self._bells[session_id].discard(bell)
            if not self._bells[session_id]:
                del self._bells[session_id]


def _session_of(event: Event) -> UUID:
    return UUID((event.chunks_fused if event.HasField("chunks_fused") else event.session_settled).session_id)


async def rung(bell: asyncio.Event) -> None:
    """Returns at the next wake, or after LOOK_SECONDS."""
    try:
        async with asyncio.timeout(LOOK_SECONDS):
            await bell.wait()
    except TimeoutError:
        return
    finally:
        bell.clear()
