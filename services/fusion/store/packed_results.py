"""Results as rows for COPY: the same as result_rows.row_of makes, in bytes. Each run of columns that are never NULL is
packed at once.
"""

from functools import lru_cache
from struct import Struct
from uuid import UUID

from libs.common.db.copying import NULL, boolean, double, microseconds, numeric, sized, timestamp, words
from libs.common.ids import derived_id
from services.fusion.fold import ChunkResult
from services.fusion.fuse import Contribution
from services.fusion.session_state import SessionState
from services.fusion.store.result_rows import COLUMNS, CONTRIBUTION_PARTS, modalities_used
from services.fusion.vocabulary import KNOWN_EMOTIONS, SHOWING_MODALITIES, Modality

_IDS = Struct(">hi16si16si16si16s")
_WINDOW = Struct(">iqiqiqiiiq")  # computed_at, capture_start_time, capture_end_time, revision, batch_number
_NUMBERS = Struct(">ididididid")  # exact_score, exact_confidence, logit, prior_logit, evidence
_CONTRIBUTION = Struct(">idididid")
_EMOTIONS = Struct(">idididididid")
_STATE = Struct(">ididid")  # state_logit, state_seconds, session_score
_DOUBLE = Struct(">id")
_NO_CONTRIBUTION = len(CONTRIBUTION_PARTS) * NULL
_NO_EMOTIONS = len(KNOWN_EMOTIONS) * NULL


def packed(session_id: UUID, user_id: UUID, result: ChunkResult) -> bytes:
    """In the order of COLUMNS."""
    fused, state = result.fused, result.state
    chunk_id, start, end = result.chunk_id, result.capture_start_time, result.capture_end_time
    captured = microseconds(end)
    emotions = fused.emotions
    return b"".join(
        (
            _IDS.pack(
                len(COLUMNS),
                16,
                derived_id("fusion_result", session_id, chunk_id).bytes,
                16,
                session_id.bytes,
                16,
                user_id.bytes,
                16,
                chunk_id.bytes,
            ),
            words(state.level.label),
            _rounded(f"{fused.score:.4f}"),
            _rounded(f"{fused.confidence:.4f}"),
            _modalities(tuple([part.modality for part in fused.contributions])),
            _WINDOW.pack(8, captured, 8, microseconds(start), 8, captured, 4, result.revision, 8, result.batch_number),
            words(result.model_version),
            words(result.arithmetic),
            _NUMBERS.pack(8, fused.score, 8, fused.confidence, 8, fused.logit, 8, fused.prior_logit, 8, fused.evidence),
            _contributions(fused.contributions),
            _NO_EMOTIONS if emotions is None else _emotions(*emotions),
            double(fused.said_valence),
            double(fused.shown_valence),
            words(fused.shown_emotion and fused.shown_emotion.label),
            words(fused.direction.label),
            _DOUBLE.pack(8, fused.dissonance_score),
            words(fused.floor and fused.floor.label),
            boolean(fused.critical_cue),
            _state(state),
            words(result.standing.reason),
        )
    )


@lru_cache(maxsize=16_384)
def _rounded(decimals: str) -> bytes:
    return numeric(int(decimals.replace(".", "")))


@lru_cache
def _modalities(modalities: tuple[Modality, ...]) -> bytes:
    return sized(b"\x01" + modalities_used(modalities).encode())  # the version of jsonb


def _contributions(contributions: tuple[Contribution, ...]) -> bytes:
    fields = [_NO_CONTRIBUTION] * len(Modality)
    fitted = [NULL] * len(Modality)
    for modality, probability, weight, confidence, logit, is_fitted in contributions:
        fields[modality - 1] = _CONTRIBUTION.pack(8, probability, 8, weight, 8, confidence, 8, logit)
        fitted[modality - 1] = boolean(is_fitted)
    return b"".join((*fields, *fitted[: len(SHOWING_MODALITIES)]))


def _emotions(one: float, two: float, three: float, four: float, five: float, six: float) -> bytes:
    return _EMOTIONS.pack(8, one, 8, two, 8, three, 8, four, 8, five, 8, six)


def _state(state: SessionState) -> bytes:
    return b"".join(
        (
            _STATE.pack(8, state.evidence_logit, 8, state.evidence_seconds, 8, state.score),
            words(state.cause.value),
            timestamp(state.critical_until),
            timestamp(state.high_until),
        )
    )
