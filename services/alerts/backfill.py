"""The feed of alerts anew: each alert as it is now. What it was in between is in its events, not in the feed."""

from collections.abc import AsyncIterator

from libs.common.db.database import Transaction
from libs.common.feed.outbox import OutboxEvent
from services.alerts.announcing import changed_event
from services.alerts.store import alerts


class OpenAndClosed:
    async def events(self, tx: Transaction) -> AsyncIterator[OutboxEvent]:
        for alert in await alerts.all_alerts(tx):
            yield OutboxEvent(alert.user_id, changed_event(alert).SerializeToString())
