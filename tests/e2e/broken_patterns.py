"""`python -m tests.e2e.broken_patterns`: patterns as it must not be. It commits effects, and then its cursor."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from libs.common import failpoints
from libs.common.db.database import Transaction
from libs.common.feed.apply import Applier
from libs.common.feed.cursor import move_cursor
from services.patterns.__main__ import main


@asynccontextmanager
async def effects_first(self: Applier, expected: int, position: int) -> AsyncIterator[Transaction]:
    """Fusion's events are folded; what else comes is right, and kills nobody."""
    apart = self.source == "fusion"
    async with self.database.transaction() as tx:
        yield tx
        if not apart:
            await move_cursor(tx, self.source, self.partition, expected, position)
    if apart:
        async with self.database.transaction() as tx:
            await move_cursor(tx, self.source, self.partition, expected, position)
            failpoints.hit("follower.before_commit")


if __name__ == "__main__":
    Applier._transaction = effects_first  # type: ignore[method-assign]
    main()
