"""The feed of alerts anew: how each case ended, and each alert as it is now. What it was in between is in its events,
not in the feed.
"""

from collections.abc import AsyncIterator

from libs.common.db.database import Transaction
from libs.common.feed.outbox import OutboxEvent
from services.alerts.announcing import changed_event, closed_event
from services.alerts.store import alerts


class OpenAndClosed:
    async def events(self, tx: Transaction) -> AsyncIterator[OutboxEvent]:
        closed = {case.alert.alert_id: case for case in await alerts.cases(tx)}
        for alert in await alerts.all_alerts(tx):
            if case := closed.get(alert.alert_id):
                yield OutboxEvent(alert.user_id, closed_event(case).SerializeToString())
            yield OutboxEvent(alert.user_id, changed_event(alert).SerializeToString())
