"""What the spool holds, as its callers see it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from uuid import UUID

from quietus.ingest.v1.predictions_pb2 import Prediction, PredictionBatch

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


class Joined(StrEnum):
    """Another device started the session; when this one is through, it leaves it or ends it."""

    LEAVING = "leaving"
    ENDING = "ending"


@dataclass(frozen=True)
class SpooledSession:
    """A session that isn't done. Times are the device's; `skew` is what the server's clock adds, once it is known."""

    key: int
    session_id: UUID
    start: datetime
    end: datetime | None
    skew: timedelta | None
    last_capture: datetime
    started: bool
    waiting_records: int
    joined: Joined | None = None


@dataclass(frozen=True)
class Batch:
    """A batch whose number and bounds are fixed, with the skew applied."""

    number: int
    message: PredictionBatch

    @property
    def size(self) -> int:
        return len(self.message.predictions)


@dataclass(frozen=True)
class Totals:
    """What waits, and what became of the rest since the spool was made; counters by (name, reason)."""

    waiting_predictions: int
    waiting_sessions: int
    used_bytes: int
    counters: Mapping[tuple[str, str], int]

    def count(self, name: str) -> int:
        return sum(count for (key, _), count in self.counters.items() if key == name)

    def reasons(self, name: str) -> dict[str, int]:
        return {reason: count for (key, reason), count in self.counters.items() if key == name}


def batch(number: int, contents: list[bytes], skew: timedelta | None) -> Batch:
    message = PredictionBatch(batch_number=number)
    for content in contents:
        message.MergeFromString(content)  # repeated fields append
    if skew:
        for prediction in message.predictions:
            _shift(prediction, skew)
    return Batch(number, message)


def microseconds(at: datetime) -> int:
    return (at - EPOCH) // MICROSECOND


def instant(value: int) -> datetime:
    return EPOCH + value * MICROSECOND


def _shift(prediction: Prediction, skew: timedelta) -> None:
    for stamp in (prediction.capture_start_time, prediction.capture_end_time):
        stamp.FromDatetime(stamp.ToDatetime(tzinfo=UTC) + skew)
