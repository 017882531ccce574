"""How a result stands in fusion_results, and how it is read from there."""

from decimal import Decimal
from functools import lru_cache
from typing import Any
from uuid import UUID

import asyncpg

from libs.common.ids import derived_id
from services.fusion.fold import ChunkResult, Standing
from services.fusion.science.fuse import Contribution, FusedChunk
from services.fusion.science.session_state import LevelCause, SessionState
from services.fusion.vocabulary import KNOWN_EMOTIONS, SHOWING_MODALITIES, Direction, Emotion, Level, Modality

CONTRIBUTION_PARTS = ("probability", "weight", "confidence", "logit")
_EMOTION_COLUMNS = tuple(f"emotion_{emotion.label}" for emotion in KNOWN_EMOTIONS)
FITTED_COLUMNS = tuple(f"{modality.label}_fitted" for modality in SHOWING_MODALITIES)
_NO_EMOTIONS = (None,) * len(KNOWN_EMOTIONS)

_FUSED_COLUMNS = (
    "exact_score",
    "exact_confidence",
    "logit",
    "prior_logit",
    "evidence",
    "dissonance_score",
    *(f"{modality.label}_{part}" for modality in Modality for part in CONTRIBUTION_PARTS),
    *_EMOTION_COLUMNS,
    "said_valence",
    "shown_valence",
    "final_score",
    "confidence",
    "modalities_used",
    *FITTED_COLUMNS,
    "shown_emotion",
    "dissonance_direction",
    "level_floor",
    "critical_cue",
)
COLUMNS = (
    "id",
    "session_id",
    "user_id",
    "chunk_id",
    "computed_at",
    "capture_start_time",
    "capture_end_time",
    "revision",
    "batch_number",
    "state_logit",
    "state_seconds",
    "session_score",
    "final_risk",
    "model_version",
    "numpy_version",
    "level_cause",
    "leading_reason",
    "critical_until",
    "high_until",
    *_FUSED_COLUMNS,
)


def row_of(session_id: UUID, user_id: UUID, result: ChunkResult) -> tuple[Any, ...]:
    """In the order of COLUMNS; what a stored row is compared with."""
    state = result.state
    return (
        derived_id("fusion_result", session_id, result.chunk_id),
        session_id,
        user_id,
        result.chunk_id,
        result.capture_end_time,
        result.capture_start_time,
        result.capture_end_time,
        result.revision,
        result.batch_number,
        state.evidence_logit,
        state.evidence_seconds,
        state.score,
        state.level.label,
        result.model_version,
        result.arithmetic,
        state.cause.value,
        result.standing.reason,
        state.critical_until,
        state.high_until,
        *_fused_cells(result.fused),
    )


def _fused_cells(fused: FusedChunk) -> tuple[Any, ...]:
    return (
        fused.score,
        fused.confidence,
        fused.logit,
        fused.prior_logit,
        fused.evidence,
        fused.dissonance_score,
        *_contribution_cells(fused),
        *(fused.emotions or _NO_EMOTIONS),
        fused.said_valence,
        fused.shown_valence,
        four_decimals(fused.score),
        four_decimals(fused.confidence),
        modalities_used(tuple(part.modality for part in fused.contributions)),
        *_fitted_cells(fused),
        fused.shown_emotion and fused.shown_emotion.label,
        fused.direction.label,
        fused.floor and fused.floor.label,
        fused.critical_cue,
    )


def four_decimals(value: float) -> Decimal:
    return Decimal(f"{value:.4f}")


@lru_cache
def modalities_used(modalities: tuple[Modality, ...]) -> str:
    """As JSON."""
    names = ", ".join(f'"{modality.label}"' for modality in modalities)
    return f"[{names}]"


def _contribution_cells(fused: FusedChunk) -> list[float | None]:
    cells: list[float | None] = [None] * (len(Modality) * len(CONTRIBUTION_PARTS))
    for part in fused.contributions:
        first = (part.modality - 1) * len(CONTRIBUTION_PARTS)
        cells[first : first + len(CONTRIBUTION_PARTS)] = part.probability, part.weight, part.confidence, part.logit
    return cells


def _fitted_cells(fused: FusedChunk) -> list[bool | None]:
    by_modality = {part.modality: part.fitted for part in fused.contributions}
    return [by_modality.get(modality) for modality in SHOWING_MODALITIES]


def result_in(row: "asyncpg.Record") -> ChunkResult:
    """Its state lacks which chunks were judged before it: a row doesn't repeat them."""
    return ChunkResult(
        chunk_id=row["chunk_id"],
        capture_start_time=row["capture_start_time"],
        capture_end_time=row["capture_end_time"],
        revision=row["revision"],
        batch_number=row["batch_number"],
        model_version=row["model_version"],
        fused=_fused_in(row),
        standing=Standing(_state_in(row), row["leading_reason"]),
        arithmetic=row["numpy_version"],
    )


def _fused_in(row: "asyncpg.Record") -> FusedChunk:
    emotions = tuple(row[column] for column in _EMOTION_COLUMNS)
    return FusedChunk(
        score=row["exact_score"],
        logit=row["logit"],
        prior_logit=row["prior_logit"],
        evidence=row["evidence"],
        confidence=row["exact_confidence"],
        contributions=tuple(
            _contribution_in(row, modality) for modality in Modality if row[f"{modality.label}_logit"] is not None
        ),
        emotions=None if emotions == _NO_EMOTIONS else emotions,
        direction=Direction[row["dissonance_direction"].upper()],
        dissonance_score=row["dissonance_score"],
        said_valence=row["said_valence"],
        shown_valence=row["shown_valence"],
        shown_emotion=Emotion[row["shown_emotion"].upper()] if row["shown_emotion"] else None,
        floor=Level[row["level_floor"].upper()] if row["level_floor"] else None,
        critical_cue=row["critical_cue"],
    )


def _contribution_in(row: "asyncpg.Record", modality: Modality) -> Contribution:
    """Rows older than the columns were made when no version had a table."""
    fitted = modality in SHOWING_MODALITIES and bool(row[f"{modality.label}_fitted"])
    return Contribution(modality, *[row[f"{modality.label}_{part}"] for part in CONTRIBUTION_PARTS], *[fitted])


def _state_in(row: "asyncpg.Record") -> SessionState:
    return SessionState(
        evidence_logit=row["state_logit"],
        evidence_seconds=row["state_seconds"],
        score=row["session_score"],
        level=Level[row["final_risk"].upper()],
        cause=LevelCause(row["level_cause"]),
        capture_end_time=row["capture_end_time"],
        critical_until=row["critical_until"],
        high_until=row["high_until"],
    )
