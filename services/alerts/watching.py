"""Wakes watchers when an alert has changed. Wakes coalesce, so a slow watcher skips states and never queues them."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from libs.common.feed.outbox import Batch

# Commits of other processes are seen by looking, at the latest this often.
LOOK_SECONDS = 2.0


class Watchers:
    """Everybody who waits for a change. `published` is the database's hook after a commit that told the feed something:
    whatever changes an alert tells it, and most commits change none."""

    def __init__(self) -> None:
        self._bells: set[asyncio.Event] = set()

    def published(self, batches: Sequence[Batch]) -> None:
        for bell in self._bells:
            bell.set()

    @contextmanager
    def bell(self) -> Iterator[asyncio.Event]:
        bell = asyncio.Event()
        self._bells.add(bell)
        try:
            yield bell
        finally:
            self._bells.discard(bell)


async def rung(bell: asyncio.Event) -> None:
    """Returns at the next wake, or after LOOK_SECONDS."""
    try:
        async with asyncio.timeout(LOOK_SECONDS):
            await bell.wait()
    except TimeoutError:
        return
    finally:
        bell.clear()
