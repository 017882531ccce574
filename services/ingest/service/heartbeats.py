"""What one stream's device says of itself: which modalities run, and what its clock shows."""

from datetime import datetime
from typing import NamedTuple

from google.protobuf.timestamp_pb2 import Timestamp

from libs.common.rpc.errors import AppError, ErrorKind
from libs.common.rpc.validation import Validator
from libs.common.timestamps import to_datetime
from quietus.ingest.v1.ingest_pb2 import OpenStream
from quietus.ingest.v1.sessions_pb2 import Heartbeat, ModalityHeartbeat
from quietus_edge.ids import EPOCH
from services.ingest.clock_skew import ClockEstimate, DeviceClock
from services.ingest.sessions import AHEAD_MAX
from services.ingest.silence import Said, State
from services.ingest.vocabulary import Modality

_MICROSECONDS = 1_000_000
_validator = Validator()


class Beat(NamedTuple):
    """A heartbeat to be answered. `server_time` in microseconds since 1970."""

    client_time: Timestamp | None
    server_time: int
    clock: ClockEstimate | None


class Heartbeats:
    def __init__(self) -> None:
        self.clock = DeviceClock()
        self.said: dict[Modality, Said] = {}
        self.count = 0
        self._unanswered: Beat | None = None

    def opened(self, opening: OpenStream, server_time: datetime) -> ClockEstimate | None:
        """What the opening teaches of the clock."""
        if opening.HasField("client_time"):
            self.clock.add(opening.client_time.ToMicroseconds(), (server_time - EPOCH) // EPOCH.resolution)
        return self.clock.estimate

    def take(self, heartbeat: Heartbeat, server_time: int) -> None:
        """INVALID_ARGUMENT INVALID_FIELD."""
        _validator.check(heartbeat)
        named = [one for one in heartbeat.modalities if one.modality and one.state]
        said = {Modality(one.modality): _said(one, heartbeat, server_time) for one in named}
        if len(said) < len(heartbeat.modalities):
            text = "each modality once, with a state"
            raise AppError(ErrorKind.INVALID_ARGUMENT, "INVALID_FIELD", text, field="heartbeat.modalities")
        for modality, new in said.items():
            self.said[modality] = new.after(self.said.get(modality))
        client_time = heartbeat.client_time if heartbeat.HasField("client_time") else None
        if client_time is not None:
            self.clock.add(client_time.ToMicroseconds(), server_time, _round_trip(heartbeat))
        self.count += 1
        self._unanswered = Beat(client_time, server_time, self.clock.estimate)

    def unanswered(self) -> Beat | None:
        """The newest heartbeat that nobody has answered yet; older ones need no answer any more."""
        beat, self._unanswered = self._unanswered, None
        return beat


def _said(one: ModalityHeartbeat, heartbeat: Heartbeat, server_time: int) -> Said:
    at = EPOCH + server_time * EPOCH.resolution
    device_time = _near(heartbeat.client_time, at) if heartbeat.HasField("client_time") else None
    captured_until = _near(one.last_capture_time, at) if one.HasField("last_capture_time") else None
    return Said(State(one.state), at, at, device_time, captured_until)


def _near(time: Timestamp, server_time: datetime) -> datetime:
    """At most as far ahead as a window may end: silences are reckoned from it, and the year 9999 has no next."""
    return min(to_datetime(time), server_time + AHEAD_MAX)


def _round_trip(heartbeat: Heartbeat) -> int | None:
    return int(heartbeat.round_trip_seconds * _MICROSECONDS) if heartbeat.HasField("round_trip_seconds") else None
