"""Tells the feed what became of an alert."""

from uuid import UUID

from libs.common.db.database import Transaction
from libs.common.feed.outbox import OutboxEvent
from quietus.alerts.v1.events_pb2 import AlertChanged, Event
from services.alerts.messages import alert_message
from services.alerts.records import Alert
from services.alerts.store import alerts


async def announce(tx: Transaction, alert_id: UUID) -> Alert:
    """Appends the alert, as it is in this transaction, to the outbox; returns it."""
    alert = await alerts.by_id(tx, alert_id)
    assert alert is not None
    tx.append_to_outbox([OutboxEvent(alert.user_id, changed_event(alert).SerializeToString())])
    return alert


def changed_event(alert: Alert) -> Event:
    return Event(alert_changed=AlertChanged(user_id=str(alert.user_id), alert=alert_message(alert)))
