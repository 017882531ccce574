"""Facts and states for tests, with only what matters named."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from uuid import UUID

from services.patterns.facts import Dissonance, FusedChunk
from services.patterns.levels import Level
from services.patterns.session import Session
from services.patterns.summary import SESSION_SCORE, Summary

START = datetime(2026, 1, 5, 9, tzinfo=UTC)
USER = UUID(int=7)


def number_id(number: int) -> UUID:
    """Ordered by number, as UUIDv7 are by time."""
    return UUID(int=number + 1)


def at(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


def chunk(
    number: int,
    score: float = 0.1,
    *,
    level: Level = Level.LOW,
    session_score: float | None = None,
    revision: int = 1,
    critical_cue: bool = False,
    dissonance: Dissonance = Dissonance.UNCLEAR,
    dissonance_score: float = 0.0,
    emotions: Mapping[str, float] | None = None,
    minutes: float = 0,
) -> FusedChunk:
    return FusedChunk(
        chunk_id=number_id(number),
        revision=revision,
        capture_end_time=at(minutes + number),
        level=level,
        score=score,
        session_score=score if session_score is None else session_score,
        critical_cue=critical_cue,
        dissonance=dissonance,
        dissonance_score=dissonance_score,
        emotions=emotions or {},
    )


def session(
    number: int,
    score: float = 0.1,
    *,
    level: Level = Level.LOW,
    settled: bool = True,
    critical_cue: bool = False,
    features: Mapping[str, float] | None = None,
    **summary: object,
) -> Session:
    """A session an hour after the one before it."""
    newest = at(60 * number)
    return Session(
        user_id=USER,
        session_id=number_id(number),
        newest_capture_time=newest,
        newest_chunk_id=number_id(number),
        level=level,
        session_score=score,
        critical_cue=critical_cue,
        results_seen=1,
        end_time=newest if settled else None,
        summary=Summary(
            highest_level=level,
            features={**(features or {}), SESSION_SCORE: score},
            **summary,  # type: ignore[arg-type]
        ),
    )
