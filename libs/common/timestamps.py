"""Between protobuf timestamps and datetimes. Both are UTC; nanoseconds are cut to microseconds."""

from datetime import UTC, datetime, timedelta

from google.protobuf.timestamp_pb2 import Timestamp

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_datetime(timestamp: Timestamp) -> datetime:
    """Raises OverflowError outside of the years 1 to 9999, which validation refuses before."""
    return _EPOCH + _MICROSECOND * (timestamp.seconds * 1_000_000 + timestamp.nanos // 1000)


def to_timestamp(moment: datetime) -> Timestamp:
    microseconds = (moment - _EPOCH) // _MICROSECOND
    return Timestamp(seconds=microseconds // 1_000_000, nanos=microseconds % 1_000_000 * 1000)
