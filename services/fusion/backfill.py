"""Fusion's feed anew, from its tables, for a follower that must be rebuilt from before what is retained."""

from collections.abc import AsyncIterator

from libs.common.db.database import Transaction
from libs.common.feed.outbox import OutboxEvent
from services.fusion import telling
from services.fusion.records import SessionEnd
from services.fusion.store import history


class History:
    """A BackfillSource. Each chunk comes once, at its newest revision, with the client batch that made it."""

    async def events(self, tx: Transaction) -> AsyncIterator[OutboxEvent]:
        async for happening in history.read(tx):
            if isinstance(happening, SessionEnd):
                yield OutboxEvent(happening.user_id, telling.session_settled(happening))
            else:
                yield OutboxEvent(happening.batch.user_id, telling.chunks_fused(happening.batch, happening.results))
