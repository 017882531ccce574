"""What fusion tells the other services.

There are thousands of results: what they say of their chunks is made of many at once, and what many say alike is
serialised once. A test compares them with what telling.py makes of the same results.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from struct import Struct
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from libs.common.byte_rows import ByteRows, Bytes
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
from services.fusion.columns import NUMBERS, FusedColumns, Modalities, modalities_in
from services.fusion.fold import BatchOrigin, ChunkResult
from services.fusion.records import SessionEnd
from services.fusion.science.inputs import Floats
from services.fusion.telling import NOT_RECEIVED
from services.fusion.vocabulary import KNOWN_EMOTIONS, Level, Modality

_CHUNKS_FUSED = tag(Event.CHUNKS_FUSED_FIELD_NUMBER)
_RECEIVE_TIME = tag(ChunksFused.RECEIVE_TIME_FIELD_NUMBER)
_BATCH_NUMBER = tag(ChunksFused.BATCH_NUMBER_FIELD_NUMBER, VARINT)
_RESULTS = tag(ChunksFused.RESULTS_FIELD_NUMBER)

_CHUNK_ID = tag(FusionResult.CHUNK_ID_FIELD_NUMBER) + varint(36)
_START = tag(FusionResult.CAPTURE_START_TIME_FIELD_NUMBER)
_END = tag(FusionResult.CAPTURE_END_TIME_FIELD_NUMBER)
_SESSION_SCORE_TAG = tag(FusionResult.SESSION_SCORE_FIELD_NUMBER, DOUBLE)
_SESSION_SCORE = Struct(f"<{len(_SESSION_SCORE_TAG)}sd")


def chunks_fused(batch: BatchOrigin, results: Sequence[ChunkResult], fused: Iterable[bytes]) -> bytes:
    """`fused`: of each result, what fused_parts makes of its chunk."""
    session = _session(batch.session_id)
    parts = [
        _sender(batch.user_id, batch.anonymous_id, batch.session_id),
        _RECEIVE_TIME,
        serialised(batch.receive_time),
        _BATCH_NUMBER,
        long_varint(batch.batch_number),
    ]
    for result, of_chunk in zip(results, fused, strict=True):
        message = _result(session, result, of_chunk)
        parts += (_RESULTS, varint(len(message)), message)
    content = b"".join(parts)
    return b"".join((_CHUNKS_FUSED, varint(len(content)), content))


@lru_cache(maxsize=16_384)
def _sender(user_id: UUID, anonymous_id: str, session_id: UUID) -> bytes:
    return ChunksFused(user_id=str(user_id), anonymous_id=anonymous_id, session_id=str(session_id)).SerializeToString()


def _result(session: bytes, result: ChunkResult, fused: bytes) -> bytes:
    state = result.standing.state
    return b"".join(
        (
            session,
            _CHUNK_ID,
            str(result.chunk_id).encode(),
            _START,
            serialised(result.capture_start_time),
            _END,
            serialised(result.capture_end_time),
            _SESSION_SCORE.pack(_SESSION_SCORE_TAG, state.score),
            _verdict(result.revision, state.level, result.model_version),
            fused,
        )
    )


@lru_cache(maxsize=16_384)
def _session(session_id: UUID) -> bytes:
    return FusionResult(session_id=str(session_id)).SerializeToString()


@lru_cache(maxsize=4096)
def _verdict(revision: int, level: Level, model_version: str) -> bytes:
    """What there are few of."""
    return FusionResult(
        revision=revision, level=RiskLevel.ValueType(level), model_version=model_version
    ).SerializeToString()


def fused_parts(columns: FusedColumns) -> Sequence[bytes]:
    """What a FusionResult says of each chunk by itself; of one chunk at least."""
    count = len(columns.numbers)
    rows = ByteRows(count)
    rows.add(_tagged(columns.numbers[:, _TOLD_NUMBERS], _NUMBER_TAGS))
    parts = np.empty(columns.contributes.shape, _CONTRIBUTION)
    parts["head"], parts["reliability"] = _CONTRIBUTION_HEADS, _RELIABILITIES[columns.fitted.astype(np.int64)]
    parts["values"] = _tagged(columns.contributions, _CONTRIBUTION_TAGS)
    rows.add(parts, np.repeat(columns.contributes, _CONTRIBUTION.itemsize, axis=1))
    emotions = np.empty(count, _EMOTIONS)
    emotions["head"], emotions["shares"] = _EMOTIONS_HEAD, columns.emotions
    rows.add(emotions, ~np.isnan(columns.emotions[:, :1]))
    rows.add_strings(
        [_few_valued(contributes, direction, cue) for contributes, _, _, direction, _, cue in columns.few_valued()]
    )
    return rows.rows()


@lru_cache(maxsize=256)
def _few_valued(contributes: Modalities, direction: int, critical_cue: bool) -> bytes:
    used = modalities_in(contributes)
    return FusionResult(
        lacking=[
            LackingModality(modality=ModalityNumber.ValueType(one), reason=NOT_RECEIVED)
            for one in Modality
            if one not in used
        ],
        dissonance_direction=DissonanceDirection.ValueType(direction),
        critical_cue=critical_cue,
    ).SerializeToString()


def _tagged(values: Floats, tags: Bytes) -> NDArray[np.void]:
    """Doubles (..., m) as fields of the m tags, of a byte each."""
    fields = np.empty(values.shape, _TAGGED)
    fields["tag"], fields["value"] = tags, values
    return fields


def _bytes_in(data: bytes) -> Bytes:
    return np.frombuffer(data, np.uint8)


def _tags_of(*doubles: int) -> Bytes:
    """By their field numbers."""
    return _bytes_in(b"".join(tag(number, DOUBLE) for number in doubles))


_TAGGED = np.dtype([("tag", "u1"), ("value", "<f8")])
_TOLD_NUMBERS = [NUMBERS.index(name) for name in ("score", "logit", "prior_logit", "confidence", "dissonance_score")]
_NUMBER_TAGS = _tags_of(
    FusionResult.SCORE_FIELD_NUMBER,
    FusionResult.LOGIT_FIELD_NUMBER,
    FusionResult.PRIOR_LOGIT_FIELD_NUMBER,
    FusionResult.CONFIDENCE_FIELD_NUMBER,
    FusionResult.DISSONANCE_SCORE_FIELD_NUMBER,
)
_CONTRIBUTION_TAGS = _tags_of(
    Contribution.PROBABILITY_FIELD_NUMBER,
    Contribution.WEIGHT_FIELD_NUMBER,
    Contribution.CONFIDENCE_FIELD_NUMBER,
    Contribution.LOGIT_FIELD_NUMBER,
)
_MODALITIES = [Contribution(modality=ModalityNumber.ValueType(one)).SerializeToString() for one in Modality]
_RELIABILITIES = np.stack(
    [
        _bytes_in(Contribution(reliability=one).SerializeToString())
        for one in (RELIABILITY_ORIGIN_PRIOR, RELIABILITY_ORIGIN_FITTED)
    ]
)
_CONTRIBUTION_SIZE = len(_MODALITIES[0]) + len(_CONTRIBUTION_TAGS) * _TAGGED.itemsize + _RELIABILITIES.shape[1]
_CONTRIBUTION_HEADS = np.stack(
    [
        _bytes_in(tag(FusionResult.CONTRIBUTIONS_FIELD_NUMBER) + varint(_CONTRIBUTION_SIZE) + modality)
        for modality in _MODALITIES
    ]
)
_CONTRIBUTION = np.dtype(
    [
        ("head", "u1", _CONTRIBUTION_HEADS.shape[1]),
        ("values", _TAGGED, len(_CONTRIBUTION_TAGS)),
        ("reliability", "u1", _RELIABILITIES.shape[1]),
    ]
)

_LABELS = EmotionDistribution(labels=[Emotion.ValueType(emotion) for emotion in KNOWN_EMOTIONS]).SerializeToString()
_SHARES_SIZE = np.dtype("<f4").itemsize * len(KNOWN_EMOTIONS)
_SHARES_HEAD = tag(EmotionDistribution.PROBABILITIES_FIELD_NUMBER) + varint(_SHARES_SIZE)
_EMOTIONS_SIZE = varint(len(_LABELS) + len(_SHARES_HEAD) + _SHARES_SIZE)
_EMOTIONS_HEAD = _bytes_in(tag(FusionResult.EMOTIONS_FIELD_NUMBER) + _EMOTIONS_SIZE + _LABELS + _SHARES_HEAD)
_EMOTIONS = np.dtype([("head", "u1", len(_EMOTIONS_HEAD)), ("shares", "<f4", len(KNOWN_EMOTIONS))])


def session_settled(end: SessionEnd) -> bytes:
    settled = SessionSettled(
        user_id=str(end.user_id),
        anonymous_id=end.anonymous_id,
        session_id=str(end.session_id),
        end_time=to_timestamp(end.end_time),
        receive_time=to_timestamp(end.receive_time),
    )
    return Event(session_settled=settled).SerializeToString()
