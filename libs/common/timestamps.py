"""Between protobuf timestamps and datetimes. Both are UTC; nanoseconds are cut to microseconds."""

from datetime import UTC, datetime, timedelta

from google.protobuf.timestamp_pb2 import Timestamp

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_datetime(timestamp: Timestamp) -> datetime:
    """Raises OverflowError outside of the years 1 to 9999, which validation refuses before."""
    return _EPOCH + timedelta(0, timestamp.seconds, timestamp.nanos // 1000)


def to_timestamp(moment: datetime) -> Timestamp:
    return Timestamp(**timestamp_fields(moment))


def timestamp_fields(moment: datetime) -> dict[str, int]:
    """Of a Timestamp, for messages that are made of nested fields."""
    microseconds = (moment - _EPOCH) // _MICROSECOND
    return {"seconds": microseconds // 1_000_000, "nanos": microseconds % 1_000_000 * 1000}
