"""Fusion's feed anew, from its tables, for a follower that must be rebuilt from before what is retained."""

from collections.abc import AsyncIterator

from libs.common.clock import Clock, utc_now
from libs.common.db.database import Transaction
from libs.common.db.partitions import first_month_kept, first_uuid7
from libs.common.feed.outbox import OutboxEvent
from services.fusion import events
from services.fusion.columns import FusedColumns
from services.fusion.records import SessionEnd
from services.fusion.store import history


class History:
    """A BackfillSource. Each chunk comes once, at its newest revision, with the client batch that made it.

    Sessions past retention are not told: ingest tells nothing of them any more, and who follows both would wait.
    """

    def __init__(self, retention_days: int, clock: Clock = utc_now) -> None:
        self._retention_days = retention_days
        self._clock = clock

    async def events(self, tx: Transaction) -> AsyncIterator[OutboxEvent]:
        first_session_id = first_uuid7(first_month_kept(self._clock(), self._retention_days))
        async for happening in history.read(tx, first_session_id):
            if isinstance(happening, SessionEnd):
                yield OutboxEvent(happening.user_id, events.session_settled(happening))
            else:
                fused = events.fused_parts(FusedColumns.of([result.fused for result in happening.results]))
                event = events.chunks_fused(happening.batch, happening.results, fused)
                yield OutboxEvent(happening.batch.user_id, event)
