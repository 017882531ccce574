"""How cases ended: what a counselor found behind the alert that sessions had raised."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from uuid import UUID

from services.fusion.vocabulary import Level


class Ending(Enum):
    TRUE_ALARM = "true_alarm"
    FALSE_ALARM = "false_alarm"
    UNKNOWN = "unknown"


class Reason(Enum):
    """As alerts says it."""

    SAFE_NOW = "safe_now"
    HANDED_OVER = "handed_over"
    FALSE_ALARM = "false_alarm"
    UNREACHABLE = "unreachable"

    @property
    def ending(self) -> Ending:
        match self:
            case Reason.SAFE_NOW | Reason.HANDED_OVER:
                return Ending.TRUE_ALARM
            case Reason.FALSE_ALARM:
                return Ending.FALSE_ALARM
            case Reason.UNREACHABLE:
                return Ending.UNKNOWN


@dataclass(frozen=True, slots=True)
class CaseOutcome:
    alert_id: UUID
    user_id: UUID
    anonymous_id: str
    reason: Reason
    noise_reason: str  # of a false alarm, as alerts says it; empty when nobody said
    level: Level  # the highest that the alert had
    score: float  # the same
    open_time: datetime
    close_time: datetime
    session_id: UUID  # of the result that opened the alert
    chunk_id: UUID
    session_ids: Sequence[UUID]  # in which fusion alarmed while it was open
    patterns_alarmed: bool
