"""What fusion tells the other services.

There are thousands of results: their numbers are packed at once, and what many say alike is serialised once. A test
compares them with what telling.py makes of the same results.
"""

from collections.abc import Sequence
from functools import lru_cache
from struct import Struct, calcsize
from uuid import UUID

from libs.common.timestamps import serialised, to_timestamp
from libs.common.wire import DOUBLE, VARINT, long_varint, tag, varint
from quietus.common.v1.types_pb2 import Emotion, EmotionDistribution, RiskLevel
from quietus.common.v1.types_pb2 import Modality as ModalityNumber
from quietus.fusion.v1.events_pb2 import ChunksFused, Event, SessionSettled
from quietus.fusion.v1.fusion_pb2 import (
    RELIABILITY_ORIGIN_FITTED,
    RELIABILITY_ORIGIN_PRIOR,
    Contribution,
    DissonanceDirection,
    FusionResult,
    LackingModality,
)
from services.fusion.explanation import lacking
from services.fusion.fold import BatchOrigin, ChunkResult
from services.fusion.records import SessionEnd
from services.fusion.telling import NOT_RECEIVED
from services.fusion.vocabulary import KNOWN_EMOTIONS, Direction, Level, Modality

_CHUNKS_FUSED = tag(Event.CHUNKS_FUSED_FIELD_NUMBER)
_RECEIVE_TIME = tag(ChunksFused.RECEIVE_TIME_FIELD_NUMBER)
_BATCH_NUMBER = tag(ChunksFused.BATCH_NUMBER_FIELD_NUMBER, VARINT)
_RESULTS = tag(ChunksFused.RESULTS_FIELD_NUMBER)

_CHUNK_ID = tag(FusionResult.CHUNK_ID_FIELD_NUMBER) + varint(36)
_START = tag(FusionResult.CAPTURE_START_TIME_FIELD_NUMBER)
_END = tag(FusionResult.CAPTURE_END_TIME_FIELD_NUMBER)
_SCORE = tag(FusionResult.SCORE_FIELD_NUMBER, DOUBLE)
_LOGIT = tag(FusionResult.LOGIT_FIELD_NUMBER, DOUBLE)
_PRIOR_LOGIT = tag(FusionResult.PRIOR_LOGIT_FIELD_NUMBER, DOUBLE)
_CONFIDENCE = tag(FusionResult.CONFIDENCE_FIELD_NUMBER, DOUBLE)
_DISSONANCE_SCORE = tag(FusionResult.DISSONANCE_SCORE_FIELD_NUMBER, DOUBLE)
_SESSION_SCORE = tag(FusionResult.SESSION_SCORE_FIELD_NUMBER, DOUBLE)
_NUMBERS = Struct("<cdcdcdcdcd2sd")

_PART_PROBABILITY = tag(Contribution.PROBABILITY_FIELD_NUMBER, DOUBLE)
_PART_WEIGHT = tag(Contribution.WEIGHT_FIELD_NUMBER, DOUBLE)
_PART_CONFIDENCE = tag(Contribution.CONFIDENCE_FIELD_NUMBER, DOUBLE)
_PART_LOGIT = tag(Contribution.LOGIT_FIELD_NUMBER, DOUBLE)
_PART_CONTENT = "2scdcdcdcd2s"
_PART = Struct("<2s" + _PART_CONTENT)
_PART_HEAD = tag(FusionResult.CONTRIBUTIONS_FIELD_NUMBER) + varint(calcsize("<" + _PART_CONTENT))
_PART_MODALITY = {
    modality: Contribution(modality=ModalityNumber.ValueType(modality)).SerializeToString() for modality in Modality
}
_PART_RELIABILITY = {
    True: Contribution(reliability=RELIABILITY_ORIGIN_FITTED).SerializeToString(),
    False: Contribution(reliability=RELIABILITY_ORIGIN_PRIOR).SerializeToString(),
}

_SHARES = Struct(f"<{len(KNOWN_EMOTIONS)}f")
_LABELS = EmotionDistribution(labels=[Emotion.ValueType(emotion) for emotion in KNOWN_EMOTIONS]).SerializeToString()
_SHARES_HEAD = tag(EmotionDistribution.PROBABILITIES_FIELD_NUMBER) + varint(_SHARES.size)
_EMOTIONS_SIZE = varint(len(_LABELS) + len(_SHARES_HEAD) + _SHARES.size)
_EMOTIONS = tag(FusionResult.EMOTIONS_FIELD_NUMBER) + _EMOTIONS_SIZE + _LABELS + _SHARES_HEAD


def chunks_fused(batch: BatchOrigin, results: Sequence[ChunkResult]) -> bytes:
    session = _session(batch.session_id)
    parts = [
        _sender(batch.user_id, batch.anonymous_id, batch.session_id),
        _RECEIVE_TIME,
        serialised(batch.receive_time),
        _BATCH_NUMBER,
        long_varint(batch.batch_number),
    ]
    for result in results:
        message = _result(session, result)
        parts += (_RESULTS, varint(len(message)), message)
    content = b"".join(parts)
    return b"".join((_CHUNKS_FUSED, varint(len(content)), content))


@lru_cache(maxsize=16_384)
def _sender(user_id: UUID, anonymous_id: str, session_id: UUID) -> bytes:
    return ChunksFused(user_id=str(user_id), anonymous_id=anonymous_id, session_id=str(session_id)).SerializeToString()


def _result(session: bytes, result: ChunkResult) -> bytes:
    fused, state = result.fused, result.state
    numbers = _NUMBERS.pack(
        _SCORE,
        fused.score,
        _LOGIT,
        fused.logit,
        _PRIOR_LOGIT,
        fused.prior_logit,
        _CONFIDENCE,
        fused.confidence,
        _DISSONANCE_SCORE,
        fused.dissonance_score,
        _SESSION_SCORE,
        state.score,
    )
    return b"".join(
        (
            session,
            _CHUNK_ID,
            str(result.chunk_id).encode(),
            _START,
            serialised(result.capture_start_time),
            _END,
            serialised(result.capture_end_time),
            numbers,
            *[_contribution(*part) for part in fused.contributions],
            *([] if fused.emotions is None else (_EMOTIONS, _SHARES.pack(*fused.emotions))),
            _verdict(
                result.revision, state.level, lacking(fused), fused.direction, fused.critical_cue, result.model_version
            ),
        )
    )


@lru_cache(maxsize=16_384)
def _session(session_id: UUID) -> bytes:
    return FusionResult(session_id=str(session_id)).SerializeToString()


def _contribution(
    modality: Modality,
    probability: float,
    weight: float,
    confidence: float,
    logit: float,
    fitted: bool,
) -> bytes:
    return _PART.pack(
        _PART_HEAD,
        _PART_MODALITY[modality],
        _PART_PROBABILITY,
        probability,
        _PART_WEIGHT,
        weight,
        _PART_CONFIDENCE,
        confidence,
        _PART_LOGIT,
        logit,
        _PART_RELIABILITY[fitted],
    )


@lru_cache(maxsize=4096)
def _verdict(
    revision: int,
    level: Level,
    lacking: tuple[Modality, ...],
    direction: Direction,
    critical_cue: bool,
    model_version: str,
) -> bytes:
    """What there are few of."""
    return FusionResult(
        revision=revision,
        level=RiskLevel.ValueType(level),
        lacking=[
            LackingModality(modality=ModalityNumber.ValueType(modality), reason=NOT_RECEIVED) for modality in lacking
        ],
        dissonance_direction=DissonanceDirection.ValueType(direction),
        critical_cue=critical_cue,
        model_version=model_version,
    ).SerializeToString()


def session_settled(end: SessionEnd) -> bytes:
    settled = SessionSettled(
        user_id=str(end.user_id),
        anonymous_id=end.anonymous_id,
        session_id=str(end.session_id),
        end_time=to_timestamp(end.end_time),
        receive_time=to_timestamp(end.receive_time),
    )
    return Event(session_settled=settled).SerializeToString()
