"""What the slice holds, as plain values."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.alerts.response import State
from services.alerts.risk import Level


@dataclass(frozen=True, slots=True)
class Alert:
    alert_id: UUID
    user_id: UUID
    anonymous_id: str
    ordinal: int
    version: int  # one more with every change; the etag
    state: State
    level: Level
    score: float  # [0, 1]
    factors: tuple[str, ...]
    interpretation: str
    open_time: datetime
    capture_time: datetime
    delayed: bool
    session_id: UUID
    counselor_id: UUID | None
    counselor_anonymous_id: str
    resolution_reason: str
    noise_reason: str
    resolve_time: datetime | None


@dataclass(frozen=True, slots=True)
class AlertEvent:
    event_id: UUID
    kind: str
    level: Level
    score: float
    source: str
    event_time: datetime
    session_id: UUID | None = None
    chunk_id: UUID | None = None
    counselor_id: UUID | None = None
    counselor_anonymous_id: str = ""
    request_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """A resolved alert with what it rested on."""

    alert: Alert
    chunk_id: UUID  # of the result that opened it
    fusion_session_ids: Sequence[UUID]  # in which fusion alarmed, by when it first did
    patterns_alarmed: bool


@dataclass(frozen=True, slots=True)
class Notification:
    """What a channel has to deliver. It carries no name, no text and no user_id."""

    notification_id: UUID
    alert_id: UUID
    anonymous_id: str
    level: Level
    open_time: datetime
    attempts: int
