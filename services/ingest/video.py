"""Video sessions and their events: what they are, and when they may be."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import orjson

from quietus_edge.ids import EPOCH
from services.ingest.digest import content_digest, score_part
from services.ingest.sessions import AHEAD_MAX
from services.ingest.vocabulary import VideoSessionStatus

# Device clocks get corrected in mid-session.
CLOCK_TOLERANCE = AHEAD_MAX


@dataclass(frozen=True, slots=True)
class VideoSession:
    """`video_session_id` follows from `stream_session_id`. Times are by the device's clock, except receive_time."""

    video_session_id: UUID
    user_id: UUID
    anonymous_id: str
    stream_session_id: str
    type: str
    platform: str
    status: VideoSessionStatus
    start_time: datetime
    end_time: datetime | None
    receive_time: datetime

    def says_the_same(self, other: "VideoSession") -> bool:
        """Whether both were started by the same person, as the same thing, at the same time."""
        started = (self.user_id, self.type, self.platform, self.start_time)
        return started == (other.user_id, other.type, other.platform, other.start_time)

    def may_end_at(self, end_time: datetime, now: datetime) -> bool:
        return self.start_time <= end_time <= now + AHEAD_MAX

    def may_hold(self, event_time: datetime, now: datetime) -> bool:
        return self.start_time - CLOCK_TOLERANCE <= event_time <= now + AHEAD_MAX


def may_start(start_time: datetime, now: datetime) -> bool:
    return start_time <= now + AHEAD_MAX


@dataclass(frozen=True, slots=True)
class VideoEvent:
    """`signals` are names with values, sorted."""

    event_id: UUID
    event_time: datetime
    risk_level: str
    confidence: float
    signals: Sequence[tuple[str, float]]
    model_version: str
    latency_milliseconds: int

    def digest(self) -> bytes:
        return content_digest(
            (self.event_time - EPOCH) // EPOCH.resolution,
            self.risk_level,
            score_part(self.confidence),
            orjson.dumps(self.signals),
            self.model_version,
            self.latency_milliseconds,
        )


class StoredVideoEvent(NamedTuple):
    event: VideoEvent
    user_id: UUID
    anonymous_id: str
    stream_session_id: str
    receive_time: datetime


class Recorded(NamedTuple):
    """What became of a batch of events."""

    accepted: int
    duplicates: int
    conflicting: Sequence[UUID]


def outcome(session_id: UUID, sent: Mapping[UUID, bytes], known: Mapping[UUID, tuple[UUID, bytes]]) -> Recorded:
    """`sent` are digests by event id, `known` the session and digest of what was stored before."""
    conflicting = [event_id for event_id, place in known.items() if place != (session_id, sent[event_id])]
    return Recorded(len(sent) - len(known), len(known) - len(conflicting), conflicting)


def first_wrong(session: VideoSession, events: Sequence[VideoEvent], now: datetime) -> str | None:
    """The path of the first field that can't be."""
    seen: set[UUID] = set()
    for index, event in enumerate(events):
        if event.event_id in seen:
            return f"events[{index}].event_id"
        if not session.may_hold(event.event_time, now):
            return f"events[{index}].event_time"
        if len(dict(event.signals)) < len(event.signals):
            return f"events[{index}].signals"
        seen.add(event.event_id)
    return None
