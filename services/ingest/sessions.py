"""When a session may start and end."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from quietus_edge.ids import EPOCH, uuid7_time

AHEAD_MAX = timedelta(days=1)
# Since the server first heard of it.
AGE_MAX = timedelta(hours=24)


class Status(StrEnum):
    ACTIVE = "ACTIVE"
    ENDED = "ENDED"


class EndCause(StrEnum):
    BY_WORD = "BY_WORD"
    SILENCE = "SILENCE"
    AGE = "AGE"


@dataclass(frozen=True, slots=True)
class SessionKey:
    """Which session it is, and whose."""

    session_id: UUID
    user_id: UUID
    anonymous_id: str


@dataclass(frozen=True, slots=True)
class Session:
    """Times are by the device's clock, except receive times, which are the server's."""

    key: SessionKey
    status: Status
    start_time: datetime
    end_time: datetime | None
    receive_time: datetime
    end_receive_time: datetime | None
    end_cause: EndCause | None = None
    device_id: UUID | None = None  # that started it

    @property
    def start_microseconds(self) -> int:
        return (self.start_time - EPOCH) // EPOCH.resolution

    def ended(self, end_time: datetime, receive_time: datetime, cause: EndCause) -> "Session":
        return replace(self, status=Status.ENDED, end_time=end_time, end_receive_time=receive_time, end_cause=cause)

    def may_end_at(self, end_time: datetime, now: datetime) -> bool:
        return self.start_time <= end_time <= now + AHEAD_MAX


def may_start(session_id: UUID, start_time: datetime, now: datetime, retention: timedelta) -> bool:
    """Both the id's own time and the start lie within the retention and at most a day ahead. ValueError: no UUIDv7."""
    return all(now - retention <= time <= now + AHEAD_MAX for time in (uuid7_time(session_id), start_time))


def overdue(session: Session, last_heard: datetime, now: datetime, silence: timedelta) -> EndCause | None:
    """Why an active session has to end, if it has to. `last_heard` is when the server last heard of it."""
    if now - session.receive_time >= AGE_MAX:
        return EndCause.AGE
    return EndCause.SILENCE if now - max(last_heard, session.receive_time) >= silence else None


def is_closed(end_receive_time: datetime, now: datetime, grace: timedelta) -> bool:
    """Whether an ended session takes not even late predictions."""
    return now > end_receive_time + grace


def is_expired(session_id: UUID, now: datetime, retention: timedelta) -> bool:
    """Whether its predictions are dropped, or may be at any moment."""
    return session_id.version == 7 and uuid7_time(session_id) < now - retention
