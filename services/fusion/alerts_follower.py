"""What fusion does with alerts' feed: it keeps how cases ended. Nothing that it derives depends on that."""

from collections.abc import Sequence
from uuid import UUID

from libs.common.db.database import Transaction
from libs.common.feed.handler import FeedEvent, Read, UnknownEvent
from libs.common.people.store import ensure_users
from libs.common.timestamps import to_datetime
from quietus.alerts.v1.alerts_pb2 import NoiseReason, ResolutionReason
from quietus.alerts.v1.events_pb2 import AlertChanged, CaseClosed, Event
from services.fusion.outcomes import CaseOutcome, Reason
from services.fusion.store import outcomes
from services.fusion.vocabulary import Level


class AlertsHandler:
    """A FeedHandler. What becomes of an alert before it is closed is for counselors."""

    def read(self, event: bytes) -> Read:
        happened = _content(Event.FromString(event))
        return Read(UUID(happened.user_id), happened)

    async def apply(self, tx: Transaction, events: Sequence[FeedEvent]) -> None:
        closed = [case_outcome(event.content) for event in events if isinstance(event.content, CaseClosed)]
        if closed:
            await ensure_users(tx, {one.user_id: one.anonymous_id for one in closed})
            await outcomes.write(tx, closed)


def case_outcome(closed: CaseClosed) -> CaseOutcome:
    """ValueError for a reason that isn't known here."""
    return CaseOutcome(
        alert_id=UUID(closed.alert_id),
        user_id=UUID(closed.user_id),
        anonymous_id=closed.anonymous_id,
        reason=Reason(ResolutionReason.Name(closed.reason).removeprefix("RESOLUTION_REASON_").lower()),
        noise_reason=_noise_reason(closed),
        level=Level(closed.level),
        score=closed.score,
        open_time=to_datetime(closed.open_time),
        close_time=to_datetime(closed.resolve_time),
        session_id=UUID(closed.session_id),
        chunk_id=UUID(closed.chunk_id),
        session_ids=tuple(UUID(session_id) for session_id in closed.fusion_session_ids),
        patterns_alarmed=closed.patterns_alarmed,
    )


def _noise_reason(closed: CaseClosed) -> str:
    if not closed.noise_reason:
        return ""
    return NoiseReason.Name(closed.noise_reason).removeprefix("NOISE_REASON_").lower()


def _content(event: Event) -> AlertChanged | CaseClosed:
    match event.WhichOneof("event"):
        case "alert_changed":
            return event.alert_changed
        case "case_closed":
            return event.case_closed
        case _:
            raise UnknownEvent
