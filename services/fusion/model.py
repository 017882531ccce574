"""A version of the model: weights fitted on data and priors set by experts, in one file with a checksum."""

import hashlib
import json
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Any, Literal

import numpy as np
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as checked_dataclass

from services.fusion.inputs import Floats
from services.fusion.vocabulary import KNOWN_EMOTIONS, Emotion, Level, Modality

# Nobody has fitted these to data of distressed people; they are an expert's first guess and say so.
Origin = Literal["expert prior", "fitted"]
Six = tuple[float, float, float, float, float, float]
STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)


class ModelError(ValueError):
    """The document is no model, or not the one that its checksum was made for."""


@checked_dataclass(config=STRICT, frozen=True)
class Source:
    """Where fitted numbers come from."""

    data: str
    citation: str
    license: str
    command: str


@checked_dataclass(config=STRICT, frozen=True)
class ModalityReliability:
    """How raters who had this modality alone vote, in shares of votes; lists of six are in the order of
    KNOWN_EMOTIONS.
    """

    typical: Six  # over all clips: what a prediction looks like that says nothing
    spread: tuple[Six, Six, Six, Six, Six, Six]  # row l: the votes that are not for l where most are for l
    confusion: tuple[Six, Six, Six, Six, Six, Six]  # row k: the votes on clips that intend k


@checked_dataclass(config=STRICT, frozen=True)
class StackerWeights:
    """softmax(bias + sum over the subset's modalities of evidence x weights)."""

    bias: Six
    vision: tuple[Six, Six, Six, Six, Six, Six] | None = None  # row: evidence, column: emotion
    audio: tuple[Six, Six, Six, Six, Six, Six] | None = None


@checked_dataclass(config=STRICT, frozen=True)
class EmotionModel:
    origin: Literal["fitted"]
    source: Source
    labels: tuple[str, ...]
    figures: dict[str, float]  # actors left out
    base_rates: Six  # of the intended emotions in the data
    vision: ModalityReliability
    audio: ModalityReliability
    trust_origin: Literal["expert prior"]
    trust: dict[str, float]  # by emotion: the share of it that counts as evidence; 1 for the six that the data has
    minimum_trusted: float  # below it, a prediction is no evidence at all
    vision_only: StackerWeights
    audio_only: StackerWeights
    vision_and_audio: StackerWeights

    def __post_init__(self) -> None:
        if self.labels != tuple(emotion.label for emotion in KNOWN_EMOTIONS):
            raise ValueError("labels must be the known emotions in the order of their numbers")
        if set(self.trust) != {emotion.label for emotion in Emotion}:
            raise ValueError("trust must name each of the ten emotions")


@checked_dataclass(config=STRICT, frozen=True)
class DistressModel:
    origin: Origin
    prior: float
    weights: dict[str, float]  # by modality
    clip: tuple[float, float]  # of the probabilities
    text_level_floors: dict[str, float]  # the least probability that a text model's own level stands for
    hopelessness_floor: float
    passive_ideation_floor: float
    critical_signal_floor: float
    evidence_scale: float  # evidence (weight x confidence) at which confidence reaches 1 - 1/e

    @cached_property
    def weight_array(self) -> Floats:
        return np.array([self.weights[modality.label] for modality in Modality])

    @cached_property
    def floor_array(self) -> Floats:
        return np.array([self.text_level_floors.get(level.label, 0.0) for level in Level])


@checked_dataclass(config=STRICT, frozen=True)
class SessionPolicy:
    """How a session's level follows its chunks. Times are capture time."""

    origin: Origin
    memory_seconds: float  # evidence this old weighs 1/e
    prior_seconds: float  # the prior weighs as much as this long of full evidence
    minimum_chunk_seconds: float  # a chunk's length is taken as at least this
    maximum_chunk_seconds: float
    enter: dict[str, float]  # by level: a score that reaches it raises to the level
    leave: dict[str, float]  # by level: only a score below it lowers from the level
    cue_hold_seconds: float  # a cue of danger holds its level this long

    @cached_property
    def enter_thresholds(self) -> tuple[float, ...]:
        return tuple(self.enter[level.label] for level in (Level.MEDIUM, Level.HIGH, Level.CRITICAL))

    @cached_property
    def leave_thresholds(self) -> tuple[float, ...]:
        return tuple(self.leave[level.label] for level in (Level.MEDIUM, Level.HIGH, Level.CRITICAL))


@checked_dataclass(config=STRICT, frozen=True)
class DissonanceModel:
    """When what is said is not what is shown. Valences are in [-1, 1]."""

    origin: Origin
    valence: Six
    everyday_rates: Six  # how often people show each emotion in daily life: actors' clips hold far more marked ones
    said_positive: float
    said_positive_with_deflection: float
    said_negative: float
    shown_negative: float
    shown_at_ease: float
    minimum_gap: float
    window_chunks: int  # persistence looks at this many chunks that could be judged
    repeated_chunks: int
    persistent_chunks: int
    grave_score: float


@checked_dataclass(config=STRICT, frozen=True)
class FusionModel:
    version: str
    date: date
    emotion: EmotionModel
    distress: DistressModel
    session: SessionPolicy
    dissonance: DissonanceModel


@dataclass(frozen=True, slots=True)
class ModelDocument:
    """A model with the file that it was read from."""

    model: FusionModel
    checksum: str
    document: dict[str, Any]


_ADAPTER = TypeAdapter(FusionModel)


def checksum_of(document: dict[str, Any]) -> str:
    """SHA-256 of the document without its checksum, as JSON with sorted keys and no spaces; hexadecimal."""
    content = {key: value for key, value in document.items() if key != "checksum"}
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def parse_model(document: dict[str, Any]) -> ModelDocument:
    """ModelError when the document is malformed or its checksum is another's."""
    checksum = checksum_of(document)
    if document.get("checksum") != checksum:
        raise ModelError(f"model {document.get('version')!r}: the checksum is not of this content")
    try:
        model = _ADAPTER.validate_python({key: value for key, value in document.items() if key != "checksum"})
    except ValidationError as error:
        raise ModelError(f"model {document.get('version')!r}: {error}") from None
    return ModelDocument(model, checksum, document)
