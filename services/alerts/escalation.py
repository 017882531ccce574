"""When an alert opens and how it rises: a pure function of facts, so that any order of arrival ends in the same."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from services.alerts.risk import Fact, Level, Source

# A score has to rise by this much over the last event's to be worth telling a counselor again.
SCORE_STEP = 0.05


class EventKind(StrEnum):
    """What facts do to an alert. What people and channels do stands beside it in alert_events."""

    OPENED = "opened"
    RAISED = "raised"
    LOWERED = "lowered"


@dataclass(frozen=True, slots=True)
class Policy:
    """What decides about opening; durations from the settings."""

    alert_fresh: timedelta  # a result captured longer before it was received opens a delayed alert
    reopen_after: timedelta  # after a resolution, high opens a new alert only after this, or on a higher score


@dataclass(frozen=True, slots=True)
class Resolution:
    """The end of the person's previous alert."""

    resolve_time: datetime
    score: float


@dataclass(frozen=True, slots=True)
class RiskEvent:
    """One step of an alert that a fact caused."""

    kind: EventKind
    fact: Fact
    level: Level  # of the alert after it


@dataclass(frozen=True, slots=True)
class OpenAlert:
    """What an alert is by its facts alone."""

    opening: Fact
    leading: Fact  # the fact that raised it last
    level: Level
    score: float
    delayed: bool
    events: tuple[RiskEvent, ...]


def derive_alert(facts: Iterable[Fact], previous: Resolution | None, policy: Policy) -> OpenAlert | None:
    """The alert that the person's facts since the previous resolution amount to; None when they amount to none.

    It only rises: a lower revision of a result is told as an event and changes neither level nor score.
    """
    alert: OpenAlert | None = None
    alarming_results = set[tuple[Source, object, object]]()
    for fact in sorted(facts, key=lambda fact: fact.order):
        if alert is None:
            if fact.level.alarming and _opens(fact, previous, policy):
                alert = _opened(fact, policy)
                alarming_results.add(fact.result)
        elif fact.level.alarming:
            alert = _raised(alert, fact)
            alarming_results.add(fact.result)
        elif fact.result in alarming_results:
            alarming_results.remove(fact.result)
            lowered = RiskEvent(EventKind.LOWERED, fact, alert.level)
            alert = _with_event(alert, lowered, alert.leading)
    return alert


def _opens(fact: Fact, previous: Resolution | None, policy: Policy) -> bool:
    if previous is None:
        return True
    if fact.receive_time <= previous.resolve_time:
        return False
    if fact.level is Level.CRITICAL or fact.score > previous.score:
        return True
    return fact.receive_time >= previous.resolve_time + policy.reopen_after


def _opened(fact: Fact, policy: Policy) -> OpenAlert:
    delayed = fact.receive_time - fact.capture_time > policy.alert_fresh
    event = RiskEvent(EventKind.OPENED, fact, fact.level)
    return OpenAlert(fact, fact, fact.level, fact.score, delayed, (event,))


def _raised(alert: OpenAlert, fact: Fact) -> OpenAlert:
    told_score = max(event.fact.score for event in alert.events if event.kind is not EventKind.LOWERED)
    if fact.level > alert.level or fact.score >= told_score + SCORE_STEP:
        return _with_event(alert, RiskEvent(EventKind.RAISED, fact, max(alert.level, fact.level)), fact)
    return OpenAlert(
        alert.opening, alert.leading, alert.level, max(alert.score, fact.score), alert.delayed, alert.events
    )


def _with_event(alert: OpenAlert, event: RiskEvent, leading: Fact) -> OpenAlert:
    return OpenAlert(
        alert.opening,
        leading,
        event.level,
        max(alert.score, leading.score),
        alert.delayed,
        (*alert.events, event),
    )
