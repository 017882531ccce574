"""What a prediction says, normalised: the plain values that checks make, digests cover and tables keep.

Scores are whole ten-thousandths (0 to 10,000), so digest, feed and table hold the same number. Times are microseconds
since 1970. Features and probabilities are what float32 holds.
"""

from enum import IntEnum
from typing import NamedTuple, TypeAlias

TEN_THOUSAND = 10_000

# Indexes are the numbers of the contract's enums; 0 says nothing and is never stored.
EMOTIONS = (
    "",
    "neutral",
    "happy",
    "sad",
    "angry",
    "fear",
    "surprise",
    "disgust",
    "hopeless",
    "resigned",
    "numb",
)
RISK_LEVELS = ("", "low", "medium", "high", "critical")
CRISIS_SIGNALS = (
    "",
    "hopelessness",
    "passive_ideation",
    "active_ideation",
    "plan_or_intent",
    "self_harm",
    "farewell",
)
FEATURES = (
    "pitch_mean",
    "pitch_std",
    "pitch_range",
    "energy_mean",
    "energy_std",
    "speech_rate",
    "pause_ratio",
    "prosody_variance",
)


class Modality(IntEnum):
    VISION = 1
    AUDIO = 2
    TEXT = 3

    __hash__ = int.__hash__  # an enum hashes its name, slowly


class TranscriptState(IntEnum):
    SEALED = 1
    NOT_KEPT = 2
    NO_KEY = 3


TRANSCRIPT_STATES = ("", "sealed", "not_kept", "no_key")


class Chunk(NamedTuple):
    chunk_id: bytes
    capture_start: int
    capture_end: int


class Distribution(NamedTuple):
    labels: tuple[int, ...]
    probabilities: tuple[float, ...]


# In the order of FEATURES; None was not measured.
Features: TypeAlias = tuple[float | None, ...]


class Vision(NamedTuple):
    emotion: int
    confidence: int
    distress_score: int
    frames_processed: int
    distribution: Distribution | None
    model_version: str


class Audio(NamedTuple):
    emotion: int
    stress_score: int
    confidence: int
    distribution: Distribution | None
    features: Features | None
    model_version: str


class Cues(NamedTuple):
    extractor_version: str
    language: str
    code_switching: bool
    deflections: tuple[str, ...]
    topics: tuple[str, ...]
    coping: tuple[str, ...]
    first_person: float | None
    negation: float | None
    absolutes: float | None
    crisis_signals: tuple[int, ...]


class Text(NamedTuple):
    risk_level: int
    distress_probability: int
    confidence: int
    valence: int | None
    cues: Cues | None
    sealed_transcript: bytes
    transcript_state: int
    model_version: str


Content: TypeAlias = Vision | Audio | Text


def modality_of(content: Content) -> Modality:
    return _MODALITIES[type(content)]


_MODALITIES: dict[type[Content], Modality] = {Vision: Modality.VISION, Audio: Modality.AUDIO, Text: Modality.TEXT}
