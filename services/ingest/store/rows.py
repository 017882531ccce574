"""Rows in Postgres' binary COPY format. Packed here: through a generic codec a numeric alone costs more than a row.

A field is its length (int32, -1 for NULL) and its bytes, big-endian. Times count microseconds from 2000. A numeric
of four decimals is one base-10000 digit: digits (1), weight (-1 behind the point, 0 before), sign, scale (4), digit.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import lru_cache
from struct import Struct
from uuid import UUID

import orjson

from quietus_edge.ids import EPOCH
from services.ingest.content import (
    CRISIS_SIGNALS,
    EMOTIONS,
    FEATURES,
    RISK_LEVELS,
    TEN_THOUSAND,
    TRANSCRIPT_STATES,
    Audio,
    Chunk,
    Content,
    Cues,
    Distribution,
    Features,
    Text,
    Vision,
)

_COMMON_COLUMNS = (
    "session_id",
    "user_id",
    "receive_time",
    "batch_number",
    "id",
    "chunk_id",
    "capture_start_time",
    "capture_end_time",
    "batch_index",
    "content_digest",
    "model_version",
)
VISION_COLUMNS = (
    *_COMMON_COLUMNS,
    "emotion",
    "confidence",
    "distress_score",
    "frames_processed",
    "distribution_labels",
    "distribution_probabilities",
)
AUDIO_COLUMNS = (
    *_COMMON_COLUMNS,
    "emotion",
    "stress_score",
    "confidence",
    "distribution_labels",
    "distribution_probabilities",
    *FEATURES,
)
TEXT_COLUMNS = (
    *_COMMON_COLUMNS,
    "risk_level",
    "distress_probability",
    "confidence",
    "valence",
    "cues",
    "transcript",
    "transcript_state",
)

HEADER = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
TRAILER = b"\xff\xff"
_POSTGRES_EPOCH = 946_684_800_000_000
_INT2_TYPE, _FLOAT4_TYPE = 21, 700

_BATCH = Struct(">i16si16siqiq")
_CHUNK = Struct(">i16si16siqiqihi32s")
_COUNT = Struct(">h")
_LENGTH = Struct(">i")
_INT4 = Struct(">ii")
_FLOAT4 = Struct(">if")
_NUMERIC = Struct(">ihhHHH")
_ARRAY = Struct(">iiiIii")
_INT2 = Struct(">ih")
_NULL = b"\xff\xff\xff\xff"
_NO_DISTRIBUTION = 2 * _NULL
_NO_FEATURES = len(FEATURES) * _NULL
_VISION_COUNT, _AUDIO_COUNT, _TEXT_COUNT = (
    _COUNT.pack(len(columns)) for columns in (VISION_COLUMNS, AUDIO_COLUMNS, TEXT_COLUMNS)
)


def copy_data(rows: Sequence[bytes]) -> Iterator[bytes]:
    yield HEADER
    yield b"".join(rows)
    yield TRAILER


def batch_fields(session_id: UUID, user_id: UUID, receive_time: datetime, batch_number: int) -> bytes:
    """The fields that all rows of a batch share."""
    received = (receive_time - EPOCH) // EPOCH.resolution - _POSTGRES_EPOCH
    return _BATCH.pack(16, session_id.bytes, 16, user_id.bytes, 8, received, 8, batch_number)


def row(batch: bytes, index: int, chunk: Chunk, digest: bytes, content: Content) -> bytes:
    """`batch` is made by batch_fields; the row's id is its chunk id."""
    chunk_id, start, end = chunk
    own = _CHUNK.pack(
        16, chunk_id, 16, chunk_id, 8, start - _POSTGRES_EPOCH, 8, end - _POSTGRES_EPOCH, 2, index, 32, digest
    )
    if isinstance(content, Vision):
        return _VISION_COUNT + batch + own + _vision(content)
    if isinstance(content, Audio):
        return _AUDIO_COUNT + batch + own + _audio(content)
    return _TEXT_COUNT + batch + own + _text(content)


def _vision(content: Vision) -> bytes:
    emotion, confidence, distress_score, frames_processed, distribution, model_version = content
    return (
        _string(model_version)
        + _string(EMOTIONS[emotion])
        + _score(confidence)
        + _score(distress_score)
        + _INT4.pack(4, frames_processed)
        + _distribution(distribution)
    )


def _audio(content: Audio) -> bytes:
    emotion, stress_score, confidence, distribution, features, model_version = content
    return (
        _string(model_version)
        + _string(EMOTIONS[emotion])
        + _score(stress_score)
        + _score(confidence)
        + _distribution(distribution)
        + _features(features)
    )


def _text(content: Text) -> bytes:
    level, distress_probability, confidence, valence, cues, transcript, state, model_version = content
    return (
        _string(model_version)
        + _string(RISK_LEVELS[level])
        + _score(distress_probability)
        + _score(confidence)
        + (_NULL if valence is None else _score(valence))
        + _cues(cues)
        + _LENGTH.pack(len(transcript))
        + transcript
        + _string(TRANSCRIPT_STATES[state])
    )


@lru_cache(maxsize=1024)
def _string(value: str) -> bytes:
    data = value.encode()
    return _LENGTH.pack(len(data)) + data


@lru_cache(maxsize=2 * TEN_THOUSAND + 1)
def _score(ten_thousandths: int) -> bytes:
    sign = 0x4000 if ten_thousandths < 0 else 0
    whole = abs(ten_thousandths) == TEN_THOUSAND
    digit = 1 if whole else abs(ten_thousandths)
    return _NUMERIC.pack(10, 1, 0 if whole else -1, sign, 4, digit)


@lru_cache(maxsize=1024)
def _labels(labels: tuple[int, ...]) -> bytes:
    items = b"".join([_INT2.pack(2, label) for label in labels])
    return _array(_INT2_TYPE, len(labels), items)


def _array(type_id: int, count: int, items: bytes) -> bytes:
    return _ARRAY.pack(20 + len(items), 1, 0, type_id, count, 1) + items


def _distribution(value: Distribution | None) -> bytes:
    if value is None:
        return _NO_DISTRIBUTION
    labels, probabilities = value
    items = b"".join([_FLOAT4.pack(4, probability) for probability in probabilities])
    return _labels(labels) + _array(_FLOAT4_TYPE, len(labels), items)


def _features(values: Features | None) -> bytes:
    if values is None:
        return _NO_FEATURES
    return b"".join([_NULL if value is None else _FLOAT4.pack(4, value) for value in values])


def _cues(cues: Cues | None) -> bytes:
    if cues is None:
        return _NULL
    signals = [CRISIS_SIGNALS[signal] for signal in cues.crisis_signals]
    data = orjson.dumps({**cues._asdict(), "crisis_signals": signals})
    return _LENGTH.pack(1 + len(data)) + b"\x01" + data
