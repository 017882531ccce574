"""Which window of which session a prediction is about, and when it may lie."""

import re
from struct import Struct

from services.ingest.content.scalars import Refused
from services.ingest.vocabulary import Reason

MICROSECONDS_PER_SECOND = 1_000_000
HOUR = 3600 * MICROSECONDS_PER_SECOND
DAY = 24 * HOUR
CHUNK_MAX = HOUR
SESSION_MAX = DAY
# Device clocks get corrected in mid-session.
CLOCK_TOLERANCE = DAY
EPOCH_2000 = 946_684_800 * MICROSECONDS_PER_SECOND

_CHUNK = Struct(">i16siqiq")
_INTERVAL = Struct(">iqiq")
ID_FIELD = slice(0, 20)
ID = slice(4, 20)
INTERVAL = slice(20, 44)

_UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}").fullmatch


def earliest_start(session_start: int) -> int:
    """When the session's first window may start: a day before the session. Microseconds since 1970, here and below."""
    return session_start - CLOCK_TOLERANCE


def latest_end(session_start: int, receive_time: int) -> int:
    """When its last window may end: 24 hours after its start, and at most a day ahead of the server."""
    return min(session_start + SESSION_MAX, receive_time + CLOCK_TOLERANCE)


def chunk(chunk_id: str, start: int, end: int, earliest: int, latest: int) -> bytes:
    """The fields of the chunk id and of the interval."""
    if not _UUID7(chunk_id):
        raise Refused("chunk_id", Reason.UNKNOWN_VALUE if chunk_id else Reason.MISSING)
    if start < earliest:
        raise Refused("capture_start_time", Reason.BAD_CAPTURE_TIME)
    if not start <= end <= start + CHUNK_MAX or end > latest:
        raise Refused("capture_end_time", Reason.BAD_CAPTURE_TIME)
    raw = bytes.fromhex(chunk_id.replace("-", ""))
    return _CHUNK.pack(16, raw, 8, start - EPOCH_2000, 8, end - EPOCH_2000)


def interval(start: int, end: int) -> bytes:
    """The fields of the interval alone."""
    return _INTERVAL.pack(8, start - EPOCH_2000, 8, end - EPOCH_2000)
