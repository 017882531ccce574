"""What other thresholds would have done: to sessions that are stored, and to cases that a counselor closed.

A session's score doesn't depend on thresholds, so it is enough to know when it first was as high as that. What was
never an alarm has no outcome: effects on cases can only be told of thresholds that rise.
"""

import math
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum
from uuid import UUID

from services.fusion.comparison import PEOPLE_MIN
from services.fusion.outcomes import CaseOutcome, Ending
from services.fusion.science.model import FusionModel, SessionPolicy

# Of the standard normal distribution, 97.5%.
Z = 1.959963984540054

# A proposal loses no true alarm that is known, and of the share that it may lose all the same, the upper bound is this.
MOST_LOST_SHARE = 0.1
# Of so many people the upper bound of none is MOST_LOST_SHARE.
TRUE_PEOPLE_NEEDED = math.ceil(Z * Z * (1 - MOST_LOST_SHARE) / MOST_LOST_SHARE)
FALSE_PEOPLE_NEEDED = PEOPLE_MIN
# A proposal stays this far below the weakest true alarm.
MARGIN = 0.05
STEP = 0.01
MOST_PROPOSALS = 5
DECIMALS = 4

NOT_SAID = ""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Session scores at which levels are entered, and below which they are left."""

    enter_medium: float
    leave_medium: float
    enter_high: float
    leave_high: float
    enter_critical: float
    leave_critical: float

    @classmethod
    def of(cls, policy: SessionPolicy) -> "Thresholds":
        entered_and_left = zip(policy.enter_thresholds, policy.leave_thresholds, strict=True)
        return cls(*(threshold for both in entered_and_left for threshold in both))

    def moved(self, enter_high: float | None = None, enter_critical: float | None = None) -> "Thresholds":
        """Levels are left as far below as before: outcomes say nothing of that."""
        high = self.enter_high if enter_high is None else enter_high
        critical = self.enter_critical if enter_critical is None else enter_critical
        return replace(
            self,
            enter_high=high,
            leave_high=round(high - (self.enter_high - self.leave_high), DECIMALS),
            enter_critical=critical,
            leave_critical=round(critical - (self.enter_critical - self.leave_critical), DECIMALS),
        )

    @property
    def are_in_order(self) -> bool:
        """As a model's must be."""
        return (
            self.enter_medium < self.enter_high < self.enter_critical < 1.0
            and self.leave_medium < self.leave_high < self.leave_critical
        )


@dataclass(frozen=True, slots=True)
class Course:
    """What of a session decides when its level was reached. Times are capture times."""

    session_id: UUID
    user_id: UUID
    scores: Sequence[float]  # each time that it was higher than ever before, rising; at least one
    times: Sequence[datetime]  # and when
    warning_time: datetime | None  # since when words demanded high at least
    crisis_time: datetime | None  # since when they demanded critical
    is_comparable: bool  # a model made all of its scores that scores as today's does

    @property
    def has_cue(self) -> bool:
        return self.warning_time is not None or self.crisis_time is not None

    def high_time(self, thresholds: Thresholds) -> datetime | None:
        """When it first was high or critical."""
        return _earliest(self._reached(thresholds.enter_high), self.warning_time, self.crisis_time)

    def critical_time(self, thresholds: Thresholds) -> datetime | None:
        return _earliest(self._reached(thresholds.enter_critical), self.crisis_time)

    def _reached(self, score: float) -> datetime | None:
        place = bisect_left(self.scores, score)
        return self.times[place] if place < len(self.times) else None


class Standing(Enum):
    """Whether thresholds decided that a case was raised; if not, why not."""

    DECIDED = "decided"
    OUTCOME_UNKNOWN = "outcome_unknown"
    RAISED_BY_CUE = "raised_by_cue"
    RAISED_BY_PATTERNS = "raised_by_patterns"
    NOT_COMPARABLE = "not_comparable"
    NOT_REPRODUCED = "not_reproduced"


@dataclass(frozen=True, slots=True)
class Case:
    """A closed case with the courses of its sessions, as far as they are stored."""

    outcome: CaseOutcome
    courses: Sequence[Course]

    @property
    def ending(self) -> Ending:
        return self.outcome.reason.ending

    @property
    def highest_score(self) -> float:
        """It is raised by every threshold up to it."""
        return max(course.scores[-1] for course in self.courses)

    def raise_time(self, thresholds: Thresholds) -> datetime | None:
        return _earliest(*(course.high_time(thresholds) for course in self.courses))

    def standing(self, current: Thresholds) -> Standing:
        if self.ending is Ending.UNKNOWN:
            return Standing.OUTCOME_UNKNOWN
        if any(course.has_cue for course in self.courses):
            return Standing.RAISED_BY_CUE
        if self.outcome.patterns_alarmed:
            return Standing.RAISED_BY_PATTERNS
        all_are_known = {course.session_id for course in self.courses} == set(self.outcome.session_ids)
        if not self.courses or not all_are_known or not all(course.is_comparable for course in self.courses):
            return Standing.NOT_COMPARABLE
        if self.raise_time(current) is None:
            return Standing.NOT_REPRODUCED
        return Standing.DECIDED


@dataclass(frozen=True, slots=True)
class CountedShare:
    """`low` and `high` are the 95% interval of the share, in which a person counts once."""

    count: int
    total: int
    people: int
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Effect:
    thresholds: Thresholds
    high_sessions: int
    critical_sessions: int
    false_avoided: CountedShare
    true_lost: CountedShare
    true_later: int
    longest_delay: timedelta


@dataclass(frozen=True, slots=True)
class Decided:
    """Cases that thresholds decided."""

    true: Sequence[Case]
    false: Sequence[Case]

    @property
    def true_people(self) -> int:
        return people_of(self.true)

    @property
    def false_people(self) -> int:
        return people_of(self.false)

    @property
    def are_enough(self) -> bool:
        return self.true_people >= TRUE_PEOPLE_NEEDED and self.false_people >= FALSE_PEOPLE_NEEDED


def scores_alike(one: FusionModel, other: FusionModel) -> bool:
    """Whether both give the same inputs the same session scores and cues; thresholds may differ."""
    session = replace(one.session, enter=other.session.enter, leave=other.session.leave)
    return one.distress == other.distress and session == other.session


def decided(cases: Sequence[Case], current: Thresholds) -> Decided:
    found = [case for case in cases if case.standing(current) is Standing.DECIDED]
    return Decided(
        [case for case in found if case.ending is Ending.TRUE_ALARM],
        [case for case in found if case.ending is Ending.FALSE_ALARM],
    )


def effect_of(thresholds: Thresholds, current: Thresholds, cases: Decided, sessions: Sequence[Course]) -> Effect:
    avoided = [case for case in cases.false if case.raise_time(thresholds) is None]
    lost = [case for case in cases.true if case.raise_time(thresholds) is None]
    delays = [_delay(case, thresholds, current) for case in cases.true]
    return Effect(
        thresholds=thresholds,
        high_sessions=sum(course.high_time(thresholds) is not None for course in sessions),
        critical_sessions=sum(course.critical_time(thresholds) is not None for course in sessions),
        false_avoided=counted_share(avoided, cases.false),
        true_lost=counted_share(lost, cases.true),
        true_later=sum(delay > timedelta(0) for delay in delays),
        longest_delay=max([timedelta(0), *delays]),
    )


def propose(cases: Decided, current: Thresholds) -> list[Thresholds]:
    """Higher thresholds of high that lose no known true alarm and avoid false ones, most first. Of those that avoid as
    many, the lowest. Empty when nothing may be said on so few outcomes.
    """
    if not cases.are_enough:
        return []
    highest = min(case.highest_score for case in cases.true) - MARGIN
    false_scores = sorted(case.highest_score for case in cases.false)
    lowest_that_avoids: dict[int, float] = {}
    for step in range(1, round(1 / STEP)):
        threshold = round(current.enter_high + step * STEP, DECIMALS)
        avoided = bisect_left(false_scores, threshold)
        if avoided and threshold <= highest and current.moved(enter_high=threshold).are_in_order:
            lowest_that_avoids.setdefault(avoided, threshold)
    most_first = sorted(lowest_that_avoids, reverse=True)[:MOST_PROPOSALS]
    return [current.moved(enter_high=lowest_that_avoids[avoided]) for avoided in most_first]


def noise(cases: Sequence[Case]) -> Mapping[str, int]:
    """False alarms by what made them. What fewer than ten people had stands with what wasn't said."""
    by_reason: defaultdict[str, list[Case]] = defaultdict(list)
    for case in cases:
        if case.ending is Ending.FALSE_ALARM:
            by_reason[case.outcome.noise_reason].append(case)
    counts = Counter[str]()
    for reason, some in by_reason.items():
        counts[reason if people_of(some) >= PEOPLE_MIN else NOT_SAID] += len(some)
    return dict(sorted(counts.items()))


def people_of(cases: Sequence[Case]) -> int:
    return len({case.outcome.user_id for case in cases})


def counted_share(some: Sequence[Case], of: Sequence[Case]) -> CountedShare:
    people = people_of(of)
    low, high = wilson_interval(len(some) / len(of), people) if of else (0.0, 1.0)
    return CountedShare(len(some), len(of), people, low, high)


def wilson_interval(share: float, observations: int) -> tuple[float, float]:
    """The 95% interval of a probability, of which `share` in [0, 1] was seen in so many (at least 1) independent
    observations. Wilson EB (1927). Probable inference, the law of succession, and statistical inference. Journal of the
    American Statistical Association 22(158).
    """
    shrink = 1 + Z * Z / observations
    middle = (share + Z * Z / (2 * observations)) / shrink
    spread = math.sqrt(share * (1 - share) / observations + Z * Z / (4 * observations**2))
    half = Z * spread / shrink
    low = 0.0 if share == 0.0 else max(0.0, middle - half)
    high = 1.0 if share == 1.0 else min(1.0, middle + half)
    return low, high


def _delay(case: Case, thresholds: Thresholds, current: Thresholds) -> timedelta:
    """How much later the case is raised; none for one that isn't raised at all, or sooner."""
    then, now = case.raise_time(thresholds), case.raise_time(current)
    return max(timedelta(0), then - now) if then is not None and now is not None else timedelta(0)


def _earliest(*times: datetime | None) -> datetime | None:
    return min((moment for moment in times if moment is not None), default=None)
