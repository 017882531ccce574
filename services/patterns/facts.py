"""What the feeds tell, in the domain's own words."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from services.patterns.levels import Level

VOICE_MEASURES = (
    "pitch_mean",
    "pitch_std",
    "pitch_range",
    "energy_mean",
    "energy_std",
    "speech_rate",
    "pause_ratio",
    "prosody_variance",
)
CUE_MEASURES = ("first_person", "negation", "absolutes")
MEASURES = (*VOICE_MEASURES, "valence", *CUE_MEASURES)


class Dissonance(StrEnum):
    """What is said against what is shown."""

    CONGRUENT = "congruent"
    MASKING = "masking"
    COPING = "coping"
    UNCLEAR = "unclear"


@dataclass(frozen=True, slots=True)
class FusedChunk:
    """One chunk at one revision. Scores and probabilities in [0, 1]; `level` and `session_score` are the session's."""

    chunk_id: UUID
    revision: int
    capture_end_time: datetime
    level: Level
    score: float
    session_score: float
    critical_cue: bool
    dissonance: Dissonance
    dissonance_score: float
    emotions: Mapping[str, float]

    @property
    def order(self) -> tuple[datetime, UUID]:
        return self.capture_end_time, self.chunk_id


@dataclass(frozen=True, slots=True)
class FusedBatch:
    """Every chunk that one client batch touched."""

    user_id: UUID
    session_id: UUID
    batch_number: int
    receive_time: datetime
    chunks: tuple[FusedChunk, ...]


@dataclass(frozen=True, slots=True)
class SettledSession:
    """A session ended and everything that it had sent is fused."""

    user_id: UUID
    session_id: UUID
    end_time: datetime
    receive_time: datetime


@dataclass(frozen=True, slots=True)
class Cues:
    """Identifiers that the device found in a sentence; never its words."""

    language: str = ""
    code_switching: bool = False
    deflections: tuple[str, ...] = ()
    topics: tuple[str, ...] = ()
    coping: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ChunkFeatures:
    """What voice or words of one chunk measured. `measures` has some of MEASURES; `cues` is there when words were."""

    chunk_id: UUID
    measures: Mapping[str, float] = field(default_factory=dict)
    cues: Cues | None = None
