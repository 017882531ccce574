"""A person's pattern over sessions: a first, honest version that leaves out what the data don't bear."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import fsum

from services.patterns.assessment import Verdict, trend_over
from services.patterns.levels import Level
from services.patterns.method import Method
from services.patterns.session import Session
from services.patterns.summary import mean_emotions
from services.patterns.trend import Trend


class Trajectory(StrEnum):
    IMPROVING = "improving"
    DECLINING = "declining"
    STABLE = "stable"
    VOLATILE = "volatile"
    INSUFFICIENT_DATA = "insufficient_data"


class CurrentState(StrEnum):
    CRISIS = "crisis"
    STRUGGLING = "struggling"
    MANAGING = "managing"
    STABLE = "stable"
    IMPROVING = "improving"


@dataclass(frozen=True, slots=True)
class Trigger:
    """A topic of distressed chunks. `frequency`: such chunks; `severity`: their mean fused score, [0, 1]."""

    topic: str
    frequency: int
    severity: float


@dataclass(frozen=True, slots=True)
class Pattern:
    """Shares, confidences and scores in [0, 1]. None, or empty, is what nothing is known of.

    `current` is the newest assessment of the person."""

    sessions_analyzed: int
    data_confidence: float
    primary_emotions: tuple[str, ...]
    emotions: Mapping[str, float]
    trajectory: Trajectory
    trajectory_confidence: float
    variability: float
    primary_language: str
    code_switching: bool | None
    deflection_phrases: tuple[str, ...]
    deflection_frequency: float | None
    triggers: tuple[Trigger, ...]
    masking_share: float | None
    masking_strength: float | None
    current: Verdict
    state: CurrentState


def pattern_of(sessions: Sequence[Session], current: Verdict, method: Method) -> Pattern:
    """Of a person's sessions, oldest first and at least one: the newest of the window count."""
    sessions = sessions[-method.baseline.window_sessions :]
    trend = trend_over(sessions, method)
    trajectory = _trajectory(trend, method)
    emotions = mean_emotions(session.summary.emotions for session in sessions)
    cues = [session.summary.cues for session in sessions]
    with_words = sum(one.with_words for one in cues)
    switching = sum(one.code_switching for one in cues)
    newest = sessions[-1].summary
    return Pattern(
        sessions_analyzed=len(sessions),
        data_confidence=len(sessions) / (len(sessions) + method.pattern.half_confident_sessions),
        primary_emotions=_primary(emotions, method.pattern.primary_emotion_share),
        emotions=emotions,
        trajectory=trajectory,
        trajectory_confidence=0.0 if trajectory is Trajectory.INSUFFICIENT_DATA else abs(trend.confidence),
        variability=trend.variability,
        primary_language=next(iter(_most_frequent(one.languages for one in cues)), ""),
        code_switching=switching / with_words >= method.pattern.code_switching_share if with_words else None,
        deflection_phrases=tuple(_most_frequent(one.deflections for one in cues)),
        deflection_frequency=sum(one.deflecting for one in cues) / with_words if with_words else None,
        triggers=_triggers(sessions),
        masking_share=newest.masking_chunks / newest.judged_chunks if newest.judged_chunks else None,
        masking_strength=newest.masking_strength if newest.judged_chunks else None,
        current=current,
        state=_state(current.level, trajectory),
    )


def _trajectory(trend: Trend, method: Method) -> Trajectory:
    how = method.trend
    if trend.sessions < how.minimum_sessions:
        return Trajectory.INSUFFICIENT_DATA
    if abs(trend.confidence) >= how.declining_confidence and abs(trend.rise) >= how.declining_rise:
        return Trajectory.DECLINING if trend.rise > 0 else Trajectory.IMPROVING
    return Trajectory.VOLATILE if trend.variability >= how.volatile_variability else Trajectory.STABLE


def _state(level: Level, trajectory: Trajectory) -> CurrentState:
    if level is Level.CRITICAL:
        return CurrentState.CRISIS
    if level is Level.HIGH or (level is Level.MEDIUM and trajectory is Trajectory.DECLINING):
        return CurrentState.STRUGGLING
    if trajectory is Trajectory.IMPROVING:
        return CurrentState.IMPROVING
    return CurrentState.MANAGING if level is Level.MEDIUM else CurrentState.STABLE


def _primary(emotions: Mapping[str, float], smallest_share: float) -> tuple[str, ...]:
    ordered = sorted(emotions, key=lambda name: (-emotions[name], name))
    return tuple(name for rank, name in enumerate(ordered) if rank == 0 or emotions[name] >= smallest_share)


def _most_frequent(counts: Iterable[Mapping[str, int]]) -> list[str]:
    total: Counter[str] = Counter()
    for one in counts:
        total.update(one)
    return sorted(total, key=lambda name: (-total[name], name))


def _triggers(sessions: Sequence[Session]) -> tuple[Trigger, ...]:
    cues = [session.summary.cues for session in sessions]
    found = []
    for topic in _most_frequent(one.distressed_topics for one in cues):
        frequency = sum(one.distressed_topics.get(topic, 0) for one in cues)
        score = fsum(one.distressed_scores.get(topic, 0.0) for one in cues)
        found.append(Trigger(topic, frequency, score / frequency))
    return tuple(found)
