"""Tells the feed what became of an alert."""

from uuid import UUID

from libs.common.db.database import Transaction
from libs.common.feed.outbox import OutboxEvent
from libs.common.timestamps import to_timestamp
from quietus.alerts.v1.events_pb2 import AlertChanged, CaseClosed, Event
from quietus.common.v1.types_pb2 import RiskLevel
from services.alerts.messages import alert_message, noise_reason, resolution_reason
from services.alerts.records import Alert, Case
from services.alerts.store import alerts


async def announce(tx: Transaction, alert_id: UUID) -> Alert:
    """Appends the alert, as it is in this transaction, to the outbox; returns it."""
    alert = await alerts.by_id(tx, alert_id)
    assert alert is not None
    tx.append_to_outbox([OutboxEvent(alert.user_id, changed_event(alert).SerializeToString())])
    return alert


async def announce_case(tx: Transaction, alert_id: UUID) -> None:
    """Appends how the alert, resolved in this transaction, ended."""
    (case,) = await alerts.cases(tx, [alert_id])
    tx.append_to_outbox([OutboxEvent(case.alert.user_id, closed_event(case).SerializeToString())])


def changed_event(alert: Alert) -> Event:
    return Event(alert_changed=AlertChanged(user_id=str(alert.user_id), alert=alert_message(alert)))


def closed_event(case: Case) -> Event:
    alert = case.alert
    assert alert.resolve_time is not None
    closed = CaseClosed(
        user_id=str(alert.user_id),
        anonymous_id=alert.anonymous_id,
        alert_id=str(alert.alert_id),
        reason=resolution_reason(alert.resolution_reason),
        noise_reason=noise_reason(alert.noise_reason),
        level=RiskLevel.ValueType(alert.level),
        score=alert.score,
        open_time=to_timestamp(alert.open_time),
        resolve_time=to_timestamp(alert.resolve_time),
        session_id=str(alert.session_id),
        chunk_id=str(case.chunk_id),
        fusion_session_ids=[str(session_id) for session_id in case.fusion_session_ids],
        patterns_alarmed=case.patterns_alarmed,
    )
    return Event(case_closed=closed)
