"""Events of alerts."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from libs.common.db.database import Database
from libs.common.feed.handler import read_event
from libs.common.timestamps import to_timestamp
from quietus.alerts.v1 import alerts_pb2 as alerts
from quietus.alerts.v1.events_pb2 import AlertChanged, CaseClosed, Event
from quietus.common.v1.types_pb2 import RISK_LEVEL_HIGH
from services.fusion.alerts_follower import AlertsHandler
from tests.fusion import make

FALSE_ALARM = alerts.RESOLUTION_REASON_FALSE_ALARM
SAFE_NOW = alerts.RESOLUTION_REASON_SAFE_NOW
CLOSED = datetime(2026, 3, 2, 9, tzinfo=UTC)


def closed(
    number: int = 1,
    reason: "alerts.ResolutionReason.ValueType" = FALSE_ALARM,
    *,
    user_id: UUID = make.USER_ID,
    session_ids: Sequence[UUID] = (make.SESSION_ID,),
    close_time: datetime = CLOSED,
    noise_reason: "alerts.NoiseReason.ValueType" = alerts.NOISE_REASON_UNSPECIFIED,
    patterns_alarmed: bool = False,
) -> bytes:
    """The number-th alert's end."""
    event = CaseClosed(
        user_id=str(user_id),
        anonymous_id=f"anon_{user_id.hex[-4:]}",
        alert_id=str(UUID(int=number)),
        reason=reason,
        noise_reason=noise_reason,
        level=RISK_LEVEL_HIGH,
        score=0.6,
        open_time=to_timestamp(close_time - timedelta(hours=1)),
        resolve_time=to_timestamp(close_time),
        session_id=str(session_ids[0] if session_ids else make.SESSION_ID),
        chunk_id=str(make.window(0).chunk_id),
        fusion_session_ids=[str(session_id) for session_id in session_ids],
        patterns_alarmed=patterns_alarmed,
    )
    return Event(case_closed=event).SerializeToString()


def changed(user_id: UUID = make.USER_ID) -> bytes:
    return Event(alert_changed=AlertChanged(user_id=str(user_id), alert=alerts.Alert())).SerializeToString()


async def follow_alerts(database: Database, *events: bytes) -> None:
    """In one transaction, as the follower does."""
    handler = AlertsHandler()
    async with database.transaction() as tx:
        await handler.apply(tx, [read_event(handler, 1, index, data, CLOSED) for index, data in enumerate(events)])
