"""Results as rows for COPY: the same as result_rows.row_of makes, in bytes."""

from collections.abc import Sequence
from functools import lru_cache
from struct import Struct
from uuid import UUID

from libs.common.db.copying import NULL, boolean, double, microseconds, numeric, sized, timestamp, words
from libs.common.ids import DerivedIds
from services.fusion.fold import ChunkResult
from services.fusion.science.fuse import Contribution
from services.fusion.science.session_state import LevelCause
from services.fusion.store.result_rows import COLUMNS, CONTRIBUTION_PARTS, modalities_used
from services.fusion.vocabulary import KNOWN_EMOTIONS, SHOWING_MODALITIES, Direction, Emotion, Level, Modality

_PLACE_AND_NUMBERS = Struct(">h" + 4 * "i16s" + 3 * "iq" + "iiiq" + 9 * "id")  # as far as session_score
_CONTRIBUTION = Struct(">" + len(CONTRIBUTION_PARTS) * "id")
_EMOTIONS = Struct(">" + len(KNOWN_EMOTIONS) * "id")
_NO_CONTRIBUTION = len(CONTRIBUTION_PARTS) * NULL
_NO_EMOTIONS = len(KNOWN_EMOTIONS) * NULL


def packed(session_id: UUID, user_id: UUID, result: ChunkResult) -> bytes:
    """In the order of COLUMNS."""
    fused, state = result.fused, result.state
    chunk_id, contributions = result.chunk_id, fused.contributions
    end = microseconds(result.capture_end_time)
    place_and_numbers = _PLACE_AND_NUMBERS.pack(
        len(COLUMNS),
        16,
        _ids(session_id).bytes_of(chunk_id),
        16,
        session_id.bytes,
        16,
        user_id.bytes,
        16,
        chunk_id.bytes,
        8,
        end,
        8,
        microseconds(result.capture_start_time),
        8,
        end,
        4,
        result.revision,
        8,
        result.batch_number,
        8,
        fused.score,
        8,
        fused.confidence,
        8,
        fused.logit,
        8,
        fused.prior_logit,
        8,
        fused.evidence,
        8,
        fused.dissonance_score,
        8,
        state.evidence_logit,
        8,
        state.evidence_seconds,
        8,
        state.score,
    )
    verdict = _verdict(
        state.level,
        tuple([part.modality for part in contributions]),
        tuple([part.fitted for part in contributions]),
        result.model_version,
        result.arithmetic,
        fused.shown_emotion,
        fused.direction,
        fused.floor,
        fused.critical_cue,
        state.cause,
        result.standing.reason,
    )
    return b"".join(
        (
            place_and_numbers,
            verdict,
            _rounded(f"{fused.score:.4f}"),
            _rounded(f"{fused.confidence:.4f}"),
            *_contributions(contributions),
            _NO_EMOTIONS if fused.emotions is None else _emotions(*fused.emotions),
            double(fused.said_valence),
            double(fused.shown_valence),
            timestamp(state.critical_until),
            timestamp(state.high_until),
        )
    )


@lru_cache(maxsize=16_384)
def _ids(session_id: UUID) -> DerivedIds:
    return DerivedIds("fusion_result", session_id)


@lru_cache(maxsize=16_384)
def _verdict(
    level: Level,
    modalities: tuple[Modality, ...],
    fitted: tuple[bool, ...],
    model_version: str,
    arithmetic: str,
    shown_emotion: Emotion | None,
    direction: Direction,
    floor: Level | None,
    critical_cue: bool,
    cause: LevelCause,
    reason: str,
) -> bytes:
    """The columns from final_risk to leading_reason: many rows say the same in them."""
    are_fitted = dict(zip(modalities, fitted, strict=True))
    return b"".join(
        (
            words(level.label),
            sized(b"\x01" + modalities_used(modalities).encode()),  # the version of jsonb
            *(boolean(are_fitted.get(modality)) for modality in SHOWING_MODALITIES),
            words(model_version),
            words(arithmetic),
            words(shown_emotion and shown_emotion.label),
            words(direction.label),
            words(floor and floor.label),
            boolean(critical_cue),
            words(cause.value),
            words(reason),
        )
    )


@lru_cache(maxsize=16_384)
def _rounded(decimals: str) -> bytes:
    return numeric(int(decimals.replace(".", "")))


def _contributions(contributions: Sequence[Contribution]) -> Sequence[bytes]:
    fields = [_NO_CONTRIBUTION] * len(Modality)
    for modality, probability, weight, confidence, logit, _ in contributions:
        fields[modality - 1] = _CONTRIBUTION.pack(8, probability, 8, weight, 8, confidence, 8, logit)
    return fields


def _emotions(one: float, two: float, three: float, four: float, five: float, six: float) -> bytes:
    return _EMOTIONS.pack(8, one, 8, two, 8, three, 8, four, 8, five, 8, six)
