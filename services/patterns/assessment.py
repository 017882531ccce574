"""A person's risk in one session: fused state, dissonance, deviation from the own normal, pattern over sessions."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log

from services.patterns.baseline import Deviation, deviations_of, normal_of
from services.patterns.levels import Level
from services.patterns.method import Method
from services.patterns.session import Session
from services.patterns.trend import Trend, trend_of

# A score this close to 0 or 1 is taken as this: no single term decides alone.
SMALLEST_SCORE = 0.001

CRITICAL_CUE = "CRITICAL_CUE"
FUSED_DISTRESS = "FUSED_DISTRESS"
MASKING = "MASKING"
BASELINE_DEVIATION = "BASELINE_DEVIATION"
RISING_PATTERN = "RISING_PATTERN"


@dataclass(frozen=True, slots=True)
class Contributions:
    """Log-odds. Only `fusion` can be negative: nothing but the fused state ever lowers a risk."""

    fusion: float
    dissonance: float
    baseline_deviation: float
    pattern: float

    @property
    def logit(self) -> float:
        return self.fusion + self.dissonance + self.baseline_deviation + self.pattern


@dataclass(frozen=True, slots=True)
class Verdict:
    """`score` in [0, 1]. `risk_factors` strongest first; empty when nothing speaks for a risk."""

    level: Level
    score: float
    risk_factors: tuple[str, ...]

    def differs_materially(self, other: "Verdict", method: Method) -> bool:
        """Whether the other is worth replacing by this one, and this one worth telling."""
        return (
            self.level is not other.level
            or self.risk_factors[:1] != other.risk_factors[:1]
            or abs(self.score - other.score) > method.telling.score_change
        )


@dataclass(frozen=True, slots=True)
class Assessment:
    """The verdict's score is sigmoid(contributions.logit)."""

    verdict: Verdict
    contributions: Contributions
    deviations: tuple[Deviation, ...]
    warming_up: bool
    baseline_sessions: int
    method_version: str


def assess(session: Session, before: Sequence[Session], method: Method) -> Assessment:
    """Assesses a session against the person's sessions before it, oldest first.

    The level is the score's, but never more than one step below fusion's level of the session, and not below it at all
    for as long as a critical text cue holds it.
    """
    normal = normal_of(before, method)
    deviations = deviations_of(session, normal, method)
    trend = trend_over([*before, session], method)
    contributions = Contributions(
        fusion=_logit(session.session_score),
        dissonance=_dissonance(session, method),
        baseline_deviation=_deviation(deviations, method) if normal.established else 0.0,
        pattern=_pattern(trend, method),
    )
    score = 1 / (1 + exp(-contributions.logit))
    floor = session.level if session.critical_cue else Level(max(Level.LOW, session.level - 1))
    return Assessment(
        verdict=Verdict(
            level=max(method.levels.level(score), floor),
            score=score,
            risk_factors=_risk_factors(session, contributions, method),
        ),
        contributions=contributions,
        deviations=deviations,
        warming_up=not normal.established,
        baseline_sessions=normal.calm_sessions,
        method_version=method.version,
    )


def trend_over(sessions: Sequence[Session], method: Method) -> Trend:
    return trend_of([session.session_score for session in sessions[-method.trend.window_sessions :]])


def _logit(probability: float) -> float:
    clipped = min(1 - SMALLEST_SCORE, max(SMALLEST_SCORE, probability))
    return log(clipped / (1 - clipped))


def _dissonance(session: Session, method: Method) -> float:
    summary = session.summary
    share = summary.masking_chunks / (summary.judged_chunks + method.dissonance.evidence_chunks)
    return method.dissonance.weight * share * summary.masking_strength


def _deviation(deviations: Sequence[Deviation], method: Method) -> float:
    how = method.deviation
    adverse = (method.features[one.feature].adverse.part(one.robust_z) for one in deviations)
    excess = sorted((max(0.0, z - how.expected_z) for z in adverse), reverse=True)
    return min(how.most, how.weight * sum(excess[: how.leading_features]) / how.leading_features)


def _pattern(trend: Trend, method: Method) -> float:
    how = method.trend
    if trend.sessions < how.minimum_sessions:
        return 0.0
    certainty = (trend.confidence - how.confidence_from) / (how.confidence_full - how.confidence_from)
    return min(how.most, how.weight * max(0.0, trend.rise) * min(1.0, max(0.0, certainty)))


def _risk_factors(session: Session, contributions: Contributions, method: Method) -> tuple[str, ...]:
    terms = (
        (FUSED_DISTRESS, contributions.fusion),
        (MASKING, contributions.dissonance),
        (BASELINE_DEVIATION, contributions.baseline_deviation),
        (RISING_PATTERN, contributions.pattern),
    )
    named = [term for term in terms if term[1] >= method.telling.smallest_factor]
    ordered = tuple(code for code, _ in sorted(named, key=lambda term: -term[1]))
    return (CRITICAL_CUE, *ordered) if session.critical_cue else ordered
