"""The state of a session, chunk by chunk in the order of capture: smoothed risk, and a level that doesn't flicker."""

import math
from bisect import bisect_right
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from libs.common.values import value
from services.fusion.science.fuse import FusedChunk
from services.fusion.science.inputs import Window
from services.fusion.science.model import MOST_WINDOW_CHUNKS, FusionModel, SessionPolicy
from services.fusion.vocabulary import Direction, Level

Judged = tuple[tuple[UUID, Direction], ...]
# Whatever the model, so that a state doesn't depend on which versions made the chunks before it.
JUDGED_CHUNKS = MOST_WINDOW_CHUNKS


class LevelCause(StrEnum):
    """What set a level."""

    SCORE = "SCORE"
    CRISIS_CUE = "CRISIS_CUE"
    CRISIS_CUE_HELD = "CRISIS_CUE_HELD"
    WARNING_CUE = "WARNING_CUE"
    WARNING_CUE_HELD = "WARNING_CUE_HELD"


@value
class SessionState:
    """After a chunk; everything that the next one needs."""

    evidence_logit: float = 0.0  # sum over chunks of decayed weight x logit
    evidence_seconds: float = 0.0  # sum of decayed weights, in seconds of full evidence
    score: float = 0.0  # smoothed risk, [0, 1]
    level: Level = Level.LOW
    cause: LevelCause = LevelCause.SCORE
    capture_end_time: datetime | None = None
    critical_until: datetime | None = None  # None once it has passed
    high_until: datetime | None = None  # the same
    judged: Judged = ()  # the last JUDGED_CHUNKS whose dissonance could be judged, oldest first


START = SessionState()
_LEVELS = tuple(Level)  # from the lowest; their numbers begin with 1


def advance(model: FusionModel, state: SessionState, window: Window, chunk: FusedChunk) -> SessionState:
    """The state after one more chunk. Chunks come in the order (capture_end_time, chunk_id); a late one means
    folding again from the state before it.

    Evidence fades exponentially in capture time and each chunk weighs its length times its evidence, so neither
    irregular sampling nor a burst of short chunks bends the score; the prior weighs in as `prior_seconds` of
    evidence, so one chunk alone seldom decides.
    """
    policy = model.session
    kept = _kept_share(policy, state.capture_end_time, window.capture_end_time)
    weight = chunk.evidence * _seconds(policy, window)
    evidence_logit = state.evidence_logit * kept + weight * chunk.logit
    evidence_seconds = state.evidence_seconds * kept + weight
    smoothed = (evidence_logit + policy.prior_seconds * chunk.prior_logit) / (evidence_seconds + policy.prior_seconds)
    score = 1.0 / (1.0 + math.exp(-smoothed))

    now = window.capture_end_time
    critical_until = _held(policy, now, state.critical_until, said_now=chunk.floor is Level.CRITICAL)
    high_until = _held(policy, now, state.high_until, said_now=chunk.floor is Level.HIGH)
    level, cause = _with_cues(_by_score(policy, state.level, score), chunk.floor, critical_until, high_until)
    return SessionState(
        evidence_logit,
        evidence_seconds,
        score,
        level,
        cause,
        now,
        critical_until,
        high_until,
        judged_after(state.judged, window.chunk_id, chunk.direction),
    )


def judged_after(before: Judged, chunk_id: UUID, direction: Direction) -> Judged:
    if direction is Direction.UNCLEAR:
        return before
    return (*before, (chunk_id, direction))[-JUDGED_CHUNKS:]


def _kept_share(policy: SessionPolicy, before: datetime | None, now: datetime) -> float:
    return 1.0 if before is None else math.exp(-(now - before).total_seconds() / policy.memory_seconds)


def _seconds(policy: SessionPolicy, window: Window) -> float:
    length = (window.capture_end_time - window.capture_start_time).total_seconds()
    return min(max(length, policy.minimum_chunk_seconds), policy.maximum_chunk_seconds)


def _by_score(policy: SessionPolicy, before: Level, score: float) -> Level:
    """Hysteresis: a level is entered at one threshold and left below a lower one."""
    entered = bisect_right(policy.enter_thresholds, score)
    not_left = bisect_right(policy.leave_thresholds, score)
    return _LEVELS[max(entered, min(before - 1, not_left))]


def _held(policy: SessionPolicy, now: datetime, until: datetime | None, *, said_now: bool) -> datetime | None:
    if said_now:
        return now + policy.cue_hold
    return until if until is not None and now <= until else None


def _with_cues(
    level: Level, floor: Level | None, critical_until: datetime | None, high_until: datetime | None
) -> tuple[Level, LevelCause]:
    """Words of danger set their level at once and hold it for a while, whatever the scores say."""
    if critical_until is not None:
        return Level.CRITICAL, LevelCause.CRISIS_CUE if floor is Level.CRITICAL else LevelCause.CRISIS_CUE_HELD
    if high_until is not None and level < Level.HIGH:
        return Level.HIGH, LevelCause.WARNING_CUE if floor is Level.HIGH else LevelCause.WARNING_CUE_HELD
    return level, LevelCause.SCORE
