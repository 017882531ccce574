"""What fusion and patterns say of a person, as facts that an alert is derived from."""

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from uuid import UUID


class Level(IntEnum):
    """Ordered as in the contract."""

    LOW = 1
    MEDIUM = 2
    HIGH = 3
    CRITICAL = 4

    @property
    def alarming(self) -> bool:
        return self >= Level.HIGH


class Source(IntEnum):
    """Who says so. The number ranks facts that came with the same client batch."""

    FUSION = 1
    PATTERNS = 2


@dataclass(frozen=True, slots=True)
class Fact:
    """One result about one person. A later revision of the same result is a fact of its own."""

    source: Source
    session_id: UUID
    chunk_id: UUID
    revision: int
    level: Level
    score: float  # [0, 1]
    factors: tuple[str, ...]  # stable reason codes, strongest first
    capture_time: datetime
    receive_time: datetime

    @property
    def order(self) -> tuple[datetime, UUID, datetime, UUID, int, Source]:
        """The canonical order of facts: the same whichever feed was read first."""
        return (self.receive_time, self.session_id, self.capture_time, self.chunk_id, self.revision, self.source)

    @property
    def result(self) -> tuple[Source, UUID, UUID]:
        """What the fact is about. Patterns assess a whole session, whatever chunk led to it."""
        chunk = self.chunk_id if self.source is Source.FUSION else self.session_id
        return (self.source, self.session_id, chunk)
