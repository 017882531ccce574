"""Alerts and their events. idx_alerts_one_open makes sure that a person has one open alert at most."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import and_, bindparam, case, delete, insert, or_, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert as upsert

from libs.common.db.database import Transaction
from services.alerts.escalation import EventKind, Resolution
from services.alerts.records import Alert, AlertEvent, Case
from services.alerts.response import State
from services.alerts.risk import Level
from services.alerts.tables import ALERT_EVENTS, METADATA, RISK_ALERTS

USERS = METADATA.tables["alerts.users"]
CARE = METADATA.tables["alerts.care_assignments"]
RISK_KINDS = [kind.value for kind in EventKind]
# 0 for critical, 1 for high: the order of lists.
URGENCY = case((RISK_ALERTS.c.risk_level == "critical", 0), else_=1)

ALERTS = select(RISK_ALERTS, USERS.c.anonymous_id).join_from(
    RISK_ALERTS, USERS, USERS.c.user_id == RISK_ALERTS.c.user_id
)


@dataclass(frozen=True, slots=True)
class PagePosition:
    urgency: int
    open_time: datetime
    alert_id: UUID


def _alert(row: Any) -> Alert:
    return Alert(
        alert_id=row.alert_id,
        user_id=row.user_id,
        anonymous_id=row.anonymous_id,
        ordinal=row.ordinal,
        version=row.version,
        state=State(row.state),
        level=Level[row.risk_level.upper()],
        score=row.risk_score,
        factors=tuple(row.risk_factors),
        interpretation=row.risk_interpretation,
        open_time=row.created_at,
        capture_time=row.capture_time,
        delayed=row.delayed,
        session_id=row.session_id,
        counselor_id=row.counselor_id,
        counselor_anonymous_id=row.counselor_anonymous_id or "",
        resolution_reason=row.resolution_reason or "",
        noise_reason=row.noise_reason or "",
        resolve_time=row.resolved_at,
    )


async def by_id(tx: Transaction, alert_id: UUID) -> Alert | None:
    row = await tx.fetch_one(ALERTS.where(RISK_ALERTS.c.alert_id == alert_id))
    return None if row is None else _alert(row)


async def by_ids(tx: Transaction, alert_ids: Sequence[UUID]) -> list[Alert]:
    return [_alert(row) for row in await tx.fetch_all(ALERTS.where(RISK_ALERTS.c.alert_id.in_(alert_ids)))]


async def open_versions(tx: Transaction, limit: int) -> dict[UUID, int]:
    """The versions of open alerts, most urgent first."""
    statement = (
        select(RISK_ALERTS.c.alert_id, RISK_ALERTS.c.version)
        .where(~RISK_ALERTS.c.resolved)
        .order_by(URGENCY, RISK_ALERTS.c.created_at, RISK_ALERTS.c.alert_id)
        .limit(limit)
    )
    return {row.alert_id: row.version for row in await tx.fetch_all(statement)}


async def open_alert(tx: Transaction, user_id: UUID) -> Alert | None:
    row = await tx.fetch_one(ALERTS.where(RISK_ALERTS.c.user_id == user_id, ~RISK_ALERTS.c.resolved))
    return None if row is None else _alert(row)


async def last_resolution(tx: Transaction, user_id: UUID) -> tuple[int, Resolution] | None:
    """The ordinal and the end of the person's newest resolved alert."""
    statement = (
        select(RISK_ALERTS.c.ordinal, RISK_ALERTS.c.resolved_at, RISK_ALERTS.c.risk_score)
        .where(RISK_ALERTS.c.user_id == user_id, RISK_ALERTS.c.resolved)
        .order_by(RISK_ALERTS.c.ordinal.desc())
        .limit(1)
    )
    row = await tx.fetch_one(statement)
    return None if row is None else (row.ordinal, Resolution(row.resolved_at, row.risk_score))


async def put(tx: Transaction, alert: Alert) -> None:
    """Opens an alert, or writes what facts changed in it. What people did stays as it is."""
    derived = {
        "risk_level": alert.level.name.lower(),
        "risk_score": alert.score,
        "risk_factors": list(alert.factors),
        "risk_interpretation": alert.interpretation,
        "created_at": alert.open_time,
        "session_id": alert.session_id,
        "capture_time": alert.capture_time,
        "delayed": alert.delayed,
        "version": alert.version,
    }
    statement = upsert(RISK_ALERTS).values(
        alert_id=alert.alert_id, user_id=alert.user_id, ordinal=alert.ordinal, **derived
    )
    await tx.execute(statement.on_conflict_do_update(index_elements=["alert_id"], set_=derived))


async def change(tx: Transaction, alert_id: UUID, version: int, values: dict[str, Any]) -> bool:
    """Writes what a person or a channel did, unless the alert is no longer at this version."""
    statement = (
        update(RISK_ALERTS)
        .where(RISK_ALERTS.c.alert_id == alert_id, RISK_ALERTS.c.version == version)
        .values(version=version + 1, **values)
        .returning(RISK_ALERTS.c.alert_id)
    )
    return await tx.fetch_one(statement) is not None


async def risk_events(tx: Transaction, alert_id: UUID) -> dict[UUID, Level]:
    """The level of each risk event. All else in one follows from its id."""
    statement = select(ALERT_EVENTS.c.event_id, ALERT_EVENTS.c.risk_level).where(
        ALERT_EVENTS.c.alert_id == alert_id, ALERT_EVENTS.c.kind.in_(RISK_KINDS)
    )
    return {row.event_id: Level[row.risk_level.upper()] for row in await tx.fetch_all(statement)}


async def put_events(tx: Transaction, alert: Alert, events: Sequence[AlertEvent]) -> None:
    """Adds risk events, or writes the level that facts changed in them."""
    statement = upsert(ALERT_EVENTS)
    statement = statement.on_conflict_do_update(
        index_elements=["event_id"], set_={"risk_level": statement.excluded.risk_level}
    )
    await tx.execute(statement, [_event_row(alert, event) for event in events])


async def remove_events(tx: Transaction, event_ids: Collection[UUID]) -> None:
    await tx.execute(
        delete(ALERT_EVENTS).where(ALERT_EVENTS.c.event_id == bindparam("gone")), [{"gone": one} for one in event_ids]
    )


async def add_event(tx: Transaction, alert: Alert, event: AlertEvent) -> None:
    await tx.execute(insert(ALERT_EVENTS).values(**_event_row(alert, event)))


def _event_row(alert: Alert, event: AlertEvent) -> dict[str, Any]:
    return {
        "event_id": event.event_id,
        "alert_id": alert.alert_id,
        "user_id": alert.user_id,
        "kind": event.kind,
        "risk_level": event.level.name.lower(),
        "risk_score": event.score,
        "source": event.source,
        "session_id": event.session_id,
        "chunk_id": event.chunk_id,
        "counselor_id": event.counselor_id,
        "counselor_anonymous_id": event.counselor_anonymous_id or None,
        "request_id": event.request_id,
        "event_time": event.event_time,
    }


async def request(tx: Transaction, alert_id: UUID, request_id: UUID) -> tuple[str, UUID | None] | None:
    """The kind and the counselor of the event that an earlier call with this id left."""
    statement = select(ALERT_EVENTS.c.kind, ALERT_EVENTS.c.counselor_id).where(
        ALERT_EVENTS.c.alert_id == alert_id, ALERT_EVENTS.c.request_id == request_id
    )
    row = await tx.fetch_one(statement)
    return None if row is None else (row.kind, row.counselor_id)


async def events(tx: Transaction, alert_id: UUID) -> list[AlertEvent]:
    """Everything that happened to an alert, in order (idx_alert_events_alert)."""
    statement = (
        select(ALERT_EVENTS)
        .where(ALERT_EVENTS.c.alert_id == alert_id)
        .order_by(ALERT_EVENTS.c.event_time, ALERT_EVENTS.c.create_time, ALERT_EVENTS.c.event_id)
    )
    return [
        AlertEvent(
            row.event_id,
            row.kind,
            Level[row.risk_level.upper()],
            row.risk_score,
            row.source,
            row.event_time,
            row.session_id,
            row.chunk_id,
            row.counselor_id,
            row.counselor_anonymous_id or "",
            row.request_id,
        )
        for row in await tx.fetch_all(statement)
    ]


async def page(
    tx: Transaction,
    counselor_id: UUID,
    *,
    anonymous_id: str,
    include_resolved: bool,
    after: PagePosition | None,
    limit: int,
) -> list[Alert]:
    """Alerts that concern a counselor: every open one, and resolved ones of their own or of people in their care."""
    in_care = select(CARE.c.user_id).where(CARE.c.counselor_id == counselor_id)
    concerns = ~RISK_ALERTS.c.resolved
    if include_resolved:
        concerns = or_(concerns, RISK_ALERTS.c.counselor_id == counselor_id, RISK_ALERTS.c.user_id.in_(in_care))
    statement = ALERTS.where(concerns).order_by(URGENCY, RISK_ALERTS.c.created_at, RISK_ALERTS.c.alert_id).limit(limit)
    if anonymous_id:
        statement = statement.where(USERS.c.anonymous_id == anonymous_id)
    if after is not None:
        position = (after.urgency, after.open_time, after.alert_id)
        statement = statement.where(tuple_(URGENCY, RISK_ALERTS.c.created_at, RISK_ALERTS.c.alert_id) > position)
    return [_alert(row) for row in await tx.fetch_all(statement)]


async def all_alerts(tx: Transaction) -> list[Alert]:
    """Every alert, oldest first, for a backfill."""
    return [
        _alert(row) for row in await tx.fetch_all(ALERTS.order_by(RISK_ALERTS.c.created_at, RISK_ALERTS.c.alert_id))
    ]


async def cases(tx: Transaction, alert_ids: Sequence[UUID] | None = None) -> list[Case]:
    """Resolved alerts with what they rested on: these, or all. Of one that was resolved before that was written down,
    the session that opened it."""
    opened = ALERT_EVENTS.alias()
    statement = ALERTS.add_columns(opened.c.chunk_id).where(RISK_ALERTS.c.resolved)
    statement = statement.join(
        opened, and_(opened.c.alert_id == RISK_ALERTS.c.alert_id, opened.c.kind == EventKind.OPENED.value)
    )
    if alert_ids is not None:
        statement = statement.where(RISK_ALERTS.c.alert_id.in_(alert_ids))
    return [
        Case(
            alert=_alert(row),
            chunk_id=row.chunk_id,
            fusion_session_ids=(row.session_id,) if row.fusion_session_ids is None else tuple(row.fusion_session_ids),
            patterns_alarmed=bool(row.patterns_alarmed),
        )
        for row in await tx.fetch_all(statement)
    ]


async def in_care(tx: Transaction, counselor_id: UUID, user_id: UUID) -> bool:
    statement = select(CARE.c.user_id).where(CARE.c.counselor_id == counselor_id, CARE.c.user_id == user_id)
    return await tx.fetch_one(statement) is not None
