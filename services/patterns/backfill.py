"""The feed of patterns anew, from its tables, for a follower that must be rebuilt from before what is retained."""

from collections.abc import AsyncIterator

from libs.common.db.database import Transaction
from libs.common.feed.outbox import OutboxEvent
from services.patterns.store import history
from services.patterns.telling import told_event


class History:
    """A BackfillSource. Each session comes once, at its newest assessment, and each person's current interface."""

    async def events(self, tx: Transaction) -> AsyncIterator[OutboxEvent]:
        async for told, anonymous_id in history.read(tx):
            yield told_event(told, anonymous_id)
