"""Between protobuf timestamps and datetimes. Both are UTC; nanoseconds are cut to microseconds."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache

from google.protobuf.timestamp_pb2 import Timestamp

from libs.common.wire import VARINT, long_varint, tag, varint

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_datetime(timestamp: Timestamp) -> datetime:
    """Raises OverflowError outside of the years 1 to 9999, which validation refuses before."""
    return _moment(timestamp.seconds, timestamp.nanos)


def to_shared_datetime(timestamp: Timestamp) -> datetime:
    """Of times that come again, as the end of a chunk is where the next begins: the same object, quick to look up."""
    return _shared_moment(timestamp.seconds, timestamp.nanos)


def _moment(seconds: int, nanos: int) -> datetime:
    return _EPOCH + _MICROSECOND * (seconds * 1_000_000 + nanos // 1000)


_shared_moment = lru_cache(maxsize=16_384)(_moment)


def to_timestamp(moment: datetime) -> Timestamp:
    microseconds = (moment - _EPOCH) // _MICROSECOND
    return Timestamp(seconds=microseconds // 1_000_000, nanos=microseconds % 1_000_000 * 1000)


@lru_cache(maxsize=16_384)
def serialised(moment: datetime) -> bytes:
    """The Timestamp of a moment, with its length before it."""
    since = moment - _EPOCH
    seconds, nanos = since.days * 86_400 + since.seconds, since.microseconds * 1000
    if seconds <= 0:
        message = to_timestamp(moment).SerializeToString()
    elif nanos:
        message = b"".join((_whole(seconds), _NANOS, long_varint(nanos)))
    else:
        message = _whole(seconds)
    return varint(len(message)) + message


@lru_cache(maxsize=1024)
def _whole(seconds: int) -> bytes:
    return _SECONDS + long_varint(seconds)


_SECONDS, _NANOS = tag(Timestamp.SECONDS_FIELD_NUMBER, VARINT), tag(Timestamp.NANOS_FIELD_NUMBER, VARINT)
