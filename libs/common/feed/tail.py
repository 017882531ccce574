"""The end of the feed in memory, shared by everybody who follows it."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import structlog

from libs.common import failpoints
from libs.common.cancellation import end_if_cancelled
from libs.common.db.database import Database
from libs.common.feed.notify import Notifier
from libs.common.feed.outbox import Batch
from libs.common.feed.own_feed import OwnFeed
from libs.common.feed.store import read_batches, read_state
from libs.common.feed.window import Window
from libs.common.observability.metrics import Metrics
from libs.common.rpc.errors import AppError

_log = structlog.get_logger()


class Tail:
    """Holds what this process committed as it commits it, and reads from Postgres whatever it missed.

    What it gives is always committed, consecutive and in order. `run` has to run beside the server. What other
    processes commit it reads only while somebody follows; otherwise it looks now and then how far the feed is.
    """

    def __init__(
        self, database: Database, metrics: Metrics, max_bytes: int = 16 * 1024 * 1024, poll_seconds: float = 1.0
    ) -> None:
        self._database = database
        self._metrics = metrics
        self._max_bytes = max_bytes
        self._poll_seconds = poll_seconds
        self._followers = 0
        self._own_feed = OwnFeed()
        self._windows: dict[int, Window] = {}
        self._behind = asyncio.Event()
        self._changed = asyncio.Event()
        self._notifier = Notifier(database, self._missed)
        database.after_append.append(self.publish)
        database.commit_failed.append(self.forget)

    def publish(self, batches: Sequence[Batch]) -> None:
        """What a transaction of this process has just committed."""
        failpoints.hit("feed.after_commit_before_publish")
        for batch in batches:
            window = self._windows.get(batch.partition)
            if window is None or not window.append(batch):
                self._missed()
        self._notifier.tell()
        self._announce()

    def forget(self) -> None:
        """After an error in COMMIT nobody here knows what was committed; Postgres does."""
        for window in self._windows.values():
            window.forget()
        self._behind.set()

    @contextmanager
    def followed(self) -> Iterator[None]:
        """Around `after` and `wait_beyond`."""
        self._followers += 1
        self._missed()
        try:
            yield
        finally:
            self._followers -= 1

    def head(self, partition: int) -> int:
        """The newest position that is known here; 0 when none is."""
        window = self._windows.get(partition)
        return (window.head if window else None) or 0

    async def after(self, partition: int, position: int) -> Sequence[Batch]:
        """The retained batches after a position, in order; empty when there are none yet."""
        window = self._windows.get(partition)
        batches = window.after(position) if window else None
        if batches is None:
            async with self._database.read() as tx:
                batches = await read_batches(tx, partition, position)
        return batches

    async def wait_beyond(self, partition: int, position: int) -> None:
        """Returns when there is a batch after the position."""
        while self.head(partition) <= position:
            await self._changed.wait()

    async def run(self) -> None:
        """Raises SliceEmptiedError."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._notifier.run())
            group.create_task(self._keep_up())

    def _missed(self) -> None:
        if self._followers:
            self._behind.set()

    async def _keep_up(self) -> None:
        while True:
            self._behind.clear()
            try:
                await self._catch_up()
            except AppError as error:
                _log.warning("feed tail can't read", reason=error.reason)
                end_if_cancelled()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._poll_seconds):
                    await self._behind.wait()

    async def _catch_up(self) -> None:
        async with self._database.read() as tx:
            feed = await read_state(tx)
            self._own_feed.check(feed.feed_id)
            for partition, state in enumerate(feed.partitions):
                window = self._windows.setdefault(partition, Window(self._max_bytes // len(feed.partitions)))
                if self._followers and window.head is not None and window.head < state.head_position:
                    for batch in await read_batches(tx, partition, window.head):
                        window.append(batch)
                # Still behind after one read: followers get from Postgres what lies between.
                if window.head is None or window.head < state.head_position:
                    window.start_at(state.head_position)
        self._announce()

    def _announce(self) -> None:
        for partition, window in self._windows.items():
            if window.head is not None:
                self._metrics.outbox_head.labels(partition).set(window.head)
        self._changed.set()
        self._changed = asyncio.Event()
