"""What channels have to deliver. idx_notifications_due serves the claim."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from libs.common.db.database import Transaction
from services.alerts.records import Notification
from services.alerts.risk import Level
from services.alerts.tables import METADATA, NOTIFICATIONS, RISK_ALERTS

USERS = METADATA.tables["alerts.users"]


async def add(
    tx: Transaction, notification_id: UUID, alert_id: UUID, user_id: UUID, *, channel: str, level: Level, due: datetime
) -> None:
    """Once for each alert, channel and level."""
    statement = upsert(NOTIFICATIONS).values(
        notification_id=notification_id,
        alert_id=alert_id,
        user_id=user_id,
        channel=channel,
        risk_level=level.name.lower(),
        next_attempt_time=due,
    )
    await tx.execute(statement.on_conflict_do_nothing())


async def claim(tx: Transaction, now: datetime, lease_until: datetime, limit: int) -> list[Notification]:
    """Takes notifications that are due. Whoever claims one has until the end of the lease to settle it."""
    due = (
        select(NOTIFICATIONS.c.notification_id)
        .where(NOTIFICATIONS.c.state == "pending", NOTIFICATIONS.c.next_attempt_time <= now)
        .order_by(NOTIFICATIONS.c.next_attempt_time)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    claimed = (
        update(NOTIFICATIONS)
        .where(NOTIFICATIONS.c.notification_id.in_(due))
        .values(next_attempt_time=lease_until, attempts=NOTIFICATIONS.c.attempts + 1)
        .returning(NOTIFICATIONS)
        .cte("claimed")
    )
    statement = (
        select(claimed, RISK_ALERTS.c.created_at, USERS.c.anonymous_id)
        .join_from(claimed, RISK_ALERTS, RISK_ALERTS.c.alert_id == claimed.c.alert_id)
        .join(USERS, USERS.c.user_id == claimed.c.user_id)
    )
    return [
        Notification(
            row.notification_id,
            row.alert_id,
            row.anonymous_id,
            Level[row.risk_level.upper()],
            row.created_at,
            row.attempts,
        )
        for row in await tx.fetch_all(statement)
    ]


async def settle_delivered(tx: Transaction, notification_id: UUID, now: datetime) -> None:
    await tx.execute(
        update(NOTIFICATIONS)
        .where(NOTIFICATIONS.c.notification_id == notification_id)
        .values(state="delivered", delivered_time=now, next_attempt_time=None, last_failure=None)
    )


async def settle_failed(
    tx: Transaction, notification_id: UUID, failure: str, next_attempt_time: datetime | None
) -> None:
    """Tries again at the given time, or never when there is none."""
    await tx.execute(
        update(NOTIFICATIONS)
        .where(NOTIFICATIONS.c.notification_id == notification_id)
        .values(
            state="pending" if next_attempt_time else "failed",
            next_attempt_time=next_attempt_time,
            last_failure=failure,
        )
    )
