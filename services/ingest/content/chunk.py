"""Which window of which session a prediction is about, and when it may lie."""

from collections.abc import Sequence
from struct import Struct

import numpy as np
from numpy.typing import NDArray

from services.ingest.content.columns import Rows, cut
from services.ingest.vocabulary import Reason

MICROSECONDS_PER_SECOND = 1_000_000
HOUR = 3600 * MICROSECONDS_PER_SECOND
DAY = 24 * HOUR
CHUNK_MAX = HOUR
SESSION_MAX = DAY
# Device clocks get corrected in mid-session.
CLOCK_TOLERANCE = DAY
EPOCH_2000 = 946_684_800 * MICROSECONDS_PER_SECOND

Microseconds = NDArray[np.int64]

_INTERVAL = Struct(">iqiq")
_CHUNK = np.dtype(
    [
        ("id_length", ">i4"),
        ("id", "u1", 16),
        ("start_length", ">i4"),
        ("start", ">i8"),
        ("end_length", ">i4"),
        ("end", ">i8"),
    ]
)
ID_FIELD = slice(0, 20)
ID = slice(4, 20)
INTERVAL = slice(20, 44)

_UUID_LENGTH = 36
_DASHES = (8, 13, 18, 23)
_DIGITS = [place for place in range(_UUID_LENGTH) if place not in _DASHES]
_VERSION, _VARIANT = 14, 19
_NO_DIGIT = 255
_DIGIT = np.full(256, _NO_DIGIT, np.uint8)
_DIGIT[list(b"0123456789abcdef")] = range(16)
_NO_ID = "0" * _UUID_LENGTH


def earliest_start(session_start: Microseconds) -> Microseconds:
    """When the session's first window may start: a day before the session. Microseconds since 1970, here and below."""
    return session_start - CLOCK_TOLERANCE


def latest_end(session_start: Microseconds, receive_time: Microseconds) -> Microseconds:
    """When its last window may end: 24 hours after its start, and at most a day ahead of the server."""
    return np.minimum(session_start + SESSION_MAX, receive_time + CLOCK_TOLERANCE)


def chunks(
    rows: Rows,
    ids: Sequence[str],
    start: Microseconds,
    end: Microseconds,
    earliest: Microseconds,
    latest: Microseconds,
) -> list[bytes]:
    """The fields of the chunk id and of the interval."""
    packed = np.empty(len(rows), _CHUNK)
    packed["id_length"], packed["id"] = 16, _id_bytes(rows, ids)
    packed["start_length"], packed["start"] = 8, start - EPOCH_2000
    packed["end_length"], packed["end"] = 8, end - EPOCH_2000
    rows.refuse_where(start < earliest, "capture_start_time", Reason.BAD_CAPTURE_TIME)
    outside = (end < start) | (end > start + CHUNK_MAX) | (end > latest)
    rows.refuse_where(outside, "capture_end_time", Reason.BAD_CAPTURE_TIME)
    return cut(packed.tobytes(), _CHUNK.itemsize)


def interval(start: int, end: int) -> bytes:
    """The fields of the interval alone."""
    return _INTERVAL.pack(8, start - EPOCH_2000, 8, end - EPOCH_2000)


def _id_bytes(rows: Rows, ids: Sequence[str]) -> NDArray[np.uint8]:
    """(rows, 16), of lower case UUIDs of version 7."""
    texts = [text if len(text) == _UUID_LENGTH and text.isascii() else _NO_ID for text in ids]
    characters = np.frombuffer("".join(texts).encode(), np.uint8).reshape(len(rows), _UUID_LENGTH)
    digits = _DIGIT[characters]
    bad = (digits[:, _DIGITS] == _NO_DIGIT).any(axis=1) | (characters[:, _DASHES] != ord("-")).any(axis=1)
    bad |= (digits[:, _VERSION] != 7) | (digits[:, _VARIANT] >> 2 != 0b10)
    for position in np.flatnonzero(bad).tolist():
        rows.refuse(position, "chunk_id", Reason.UNKNOWN_VALUE if ids[position] else Reason.MISSING)
    high, low = digits[:, _DIGITS[::2]], digits[:, _DIGITS[1::2]]
    return np.bitwise_or(np.left_shift(high, 4), low)
