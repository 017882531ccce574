"""When an alert opens and how it rises: a pure function of facts, so that any order of arrival ends in the same."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from services.alerts.risk import Fact, Level

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
    alert: _Rising | None = None
    for fact in sorted(facts, key=lambda fact: fact.order):
        if alert is not None:
            alert.take(fact)
        elif fact.level.alarming and _opens(fact, previous, policy):
            alert = _Rising(fact)
    return None if alert is None else alert.as_it_is(policy)


def _opens(fact: Fact, previous: Resolution | None, policy: Policy) -> bool:
    if previous is None:
        return True
    if fact.receive_time <= previous.resolve_time:
        return False
    if fact.level is Level.CRITICAL or fact.score > previous.score:
        return True
    return fact.receive_time >= previous.resolve_time + policy.reopen_after


class _Rising:
    """An alert while its facts are read. An alert that nobody resolves gathers very many: each costs the same."""

    def __init__(self, opening: Fact) -> None:
        self._opening = self._leading = opening
        self._level = opening.level
        self._score = self._told_score = opening.score
        self._events = [RiskEvent(EventKind.OPENED, opening, opening.level)]
        self._alarming_results = {opening.result}

    def take(self, fact: Fact) -> None:
        if fact.level.alarming:
            self._score = max(self._score, fact.score)
            self._alarming_results.add(fact.result)
            if fact.level > self._level or fact.score >= self._told_score + SCORE_STEP:
                self._raise(fact)
        elif fact.result in self._alarming_results:
            self._alarming_results.remove(fact.result)
            self._events.append(RiskEvent(EventKind.LOWERED, fact, self._level))

    def _raise(self, fact: Fact) -> None:
        self._leading = fact
        self._level = max(self._level, fact.level)
        self._told_score = max(self._told_score, fact.score)
        self._events.append(RiskEvent(EventKind.RAISED, fact, self._level))

    def as_it_is(self, policy: Policy) -> OpenAlert:
        delayed = self._opening.receive_time - self._opening.capture_time > policy.alert_fresh
        return OpenAlert(self._opening, self._leading, self._level, self._score, delayed, tuple(self._events))
