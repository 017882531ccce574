"""What an app says of a chunk, in plain Python."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from quietus_edge.errors import InvalidInputError
from quietus_edge.ids import uuid7

LONGEST_CHUNK = timedelta(hours=1)


@dataclass(frozen=True)
class Chunk:
    """One window of a session, the same for all modalities. Times are aware; the window lasts an hour at most."""

    chunk_id: UUID
    start: datetime
    end: datetime

    @classmethod
    def between(cls, start: datetime, end: datetime) -> "Chunk":
        """A new chunk. InvalidInputError for naive times, a window that ends before its start or lasts over an hour."""
        if start.tzinfo is None or end.tzinfo is None:
            raise InvalidInputError("a chunk needs times with a timezone")
        if not timedelta(0) <= end - start <= LONGEST_CHUNK:
            raise InvalidInputError("a chunk ends at or after its start and lasts an hour at most")
        return cls(uuid7(end), start, end)


@dataclass(frozen=True, kw_only=True)
class Vision:
    """From a face or body model. Scores in [0, 1]; emotions by name: neutral, happy, sad, angry, fear, surprise,
    disgust, hopeless, resigned, numb. `distribution` gives each emotion that the model knows its probability."""

    emotion: str
    confidence: float
    distress_score: float
    model_version: str
    frames_processed: int = 0
    distribution: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class VoiceFeatures:
    """Prosody, where it was measured: pitch in Hz, energy in [0, 1], syllables a second, share of pauses in [0, 1]."""

    pitch_mean: float | None = None
    pitch_std: float | None = None
    pitch_range: float | None = None
    energy_mean: float | None = None
    energy_std: float | None = None
    speech_rate: float | None = None
    pause_ratio: float | None = None
    prosody_variance: float | None = None


@dataclass(frozen=True, kw_only=True)
class Audio:
    """From a voice model. Scores in [0, 1]; emotions as in Vision."""

    emotion: str
    stress_score: float
    confidence: float
    model_version: str
    distribution: Mapping[str, float] = field(default_factory=dict)
    features: VoiceFeatures | None = None


@dataclass(frozen=True, kw_only=True)
class TextCues:
    """What the suite may know of a sentence without reading it: identifiers such as im_fine, shares in [0, 1], and
    signals of danger by name: hopelessness, passive_ideation, active_ideation, plan_or_intent, self_harm, farewell."""

    extractor_version: str = ""
    language: str = ""
    code_switching: bool = False
    deflections: Sequence[str] = ()
    topics: Sequence[str] = ()
    coping: Sequence[str] = ()
    first_person: float | None = None
    negation: float | None = None
    absolutes: float | None = None
    crisis_signals: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Text:
    """From a language model. `risk_level` is low, medium, high or critical; `valence` lies in [-1, 1].

    `transcript` is what was said. Where `cues` or `valence` are not given, record() finds them in it. Then it is sealed
    for the person before anything is written, and never leaves the device unsealed.
    """

    risk_level: str
    distress_probability: float
    confidence: float
    model_version: str
    valence: float | None = None
    cues: TextCues | None = None
    transcript: str | None = field(default=None, repr=False)
