"""What use cases read from the slice, beside results."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from services.fusion.fold import ChunkResult
from services.fusion.science.dissonance import Finding
from services.fusion.silence import Silence
from services.fusion.vocabulary import Direction, Emotion

# Where a page of a session's chunks begins: after this capture_end_time and chunk_id.
PageKey = tuple[datetime, UUID]
BEGINNING: PageKey = (datetime(1, 1, 2, tzinfo=UTC), UUID(int=0))


@dataclass(frozen=True, slots=True)
class SessionEnd:
    """What ingest told of a session that ended: when by the device's clock, and when it heard of it."""

    user_id: UUID
    anonymous_id: str
    session_id: UUID
    end_time: datetime
    receive_time: datetime


@dataclass(frozen=True, slots=True)
class SessionRisk:
    session_id: UUID
    user_id: UUID
    anonymous_id: str
    latest: ChunkResult  # the newest chunk by capture
    chunks: int
    settled: bool  # it has ended and everything that it sent is fused
    silences: Sequence[Silence]  # of all its modalities


@dataclass(frozen=True, slots=True)
class DissonanceRecord:
    session_id: UUID
    chunk_id: UUID
    stated_emotion: Emotion
    actual_emotion: Emotion
    direction: Direction
    score: float
    finding: Finding
    detect_time: datetime

    @property
    def key(self) -> PageKey:
        return (self.detect_time, self.chunk_id)
