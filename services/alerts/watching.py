"""Wakes watchers when something was committed. Wakes coalesce, so a slow watcher skips states and never queues them."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

# Commits of other processes are seen by looking, at the latest this often.
LOOK_SECONDS = 2.0


class Watchers:
    """Everybody who waits for a commit of this process. `wake` is a hook of the database."""

    def __init__(self) -> None:
        self._bells: set[asyncio.Event] = set()

    def wake(self) -> None:
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
