"""A version of the model: weights fitted on data and priors set by experts, in one file with a checksum."""

import hashlib
import json
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as checked_dataclass

from services.fusion.science.inputs import Floats
from services.fusion.vocabulary import KNOWN_EMOTIONS, Emotion, Level, Modality

# Nobody has fitted these to data of distressed people; they are an expert's first guess and say so.
Origin = Literal["expert prior", "fitted"]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Probability = Annotated[float, Field(gt=0.0, lt=1.0)]  # one that has a logit
Positive = Annotated[float, Field(gt=0.0)]
Valence = Annotated[float, Field(ge=-1.0, le=1.0)]
Six = tuple[float, float, float, float, float, float]
Shares = tuple[Share, Share, Share, Share, Share, Share]
Rates = tuple[Positive, Positive, Positive, Positive, Positive, Positive]
RISEN_LEVELS = (Level.MEDIUM, Level.HIGH, Level.CRITICAL)
MOST_WINDOW_CHUNKS = 16
STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)


class ModelError(ValueError):
    """The document is no model, or not the one that its checksum was made for."""


@lru_cache(maxsize=1024)
def array_of(numbers: tuple[Any, ...]) -> Floats:
    """Of a model's numbers, which come again and again."""
    array = np.array(numbers, np.float64)
    array.flags.writeable = False
    return array


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

    typical: Shares  # over all clips: what a prediction looks like that says nothing
    spread: tuple[Shares, Shares, Shares, Shares, Shares, Shares]  # row l: the votes not for l where most are for l
    confusion: tuple[Shares, Shares, Shares, Shares, Shares, Shares]  # row k: the votes on clips that intend k


@checked_dataclass(config=STRICT, frozen=True)
class VersionReliability:
    """How one version of an edge model reads, as against its modality in general: fitted on its labelled predictions,
    with the modality as prior.
    """

    origin: Literal["fitted"]
    source: Source
    people: int
    predictions: int
    prior_strength: float  # the ridge penalty that holds `evidence` to the prior, which is the unit matrix
    confusion: tuple[Six, Six, Six, Six, Six, Six]  # row k: what it says of moments that are k, in shares
    evidence: tuple[Six, Six, Six, Six, Six, Six]  # row l: the evidence that its saying l is, as votes of raters


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
    base_rates: Rates  # of the intended emotions in the data
    vision: ModalityReliability
    audio: ModalityReliability
    trust_origin: Literal["expert prior"]
    trust: dict[str, Share]  # by emotion: the share of it that counts as evidence; 1 for the six that the data has
    minimum_trusted: Share  # below it, a prediction is no evidence at all
    vision_only: StackerWeights
    audio_only: StackerWeights
    vision_and_audio: StackerWeights
    # By edge model version. A version that isn't here is read as its modality is in general.
    vision_versions: dict[str, VersionReliability] = field(default_factory=dict)
    audio_versions: dict[str, VersionReliability] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.labels != tuple(emotion.label for emotion in KNOWN_EMOTIONS):
            raise ValueError("labels must be the known emotions in the order of their numbers")
        if set(self.trust) != {emotion.label for emotion in Emotion}:
            raise ValueError("trust must name each of the ten emotions")

    @cached_property
    def trust_array(self) -> Floats:
        """(10,), by the emotions' numbers."""
        return array_of(tuple(self.trust[emotion.label] for emotion in Emotion))


@checked_dataclass(config=STRICT, frozen=True)
class DistressModel:
    origin: Origin
    prior: Probability
    weights: dict[str, Positive]  # by modality
    clip: tuple[Probability, Probability]  # of the probabilities
    text_level_floors: dict[str, Share]  # the least probability that a text model's own level stands for
    hopelessness_floor: Share
    passive_ideation_floor: Share
    critical_signal_floor: Share
    evidence_scale: Positive  # evidence (weight x confidence) at which confidence reaches 1 - 1/e

    def __post_init__(self) -> None:
        if set(self.weights) != {modality.label for modality in Modality}:
            raise ValueError("weights must name each modality")
        if not set(self.text_level_floors) <= {level.label for level in Level}:
            raise ValueError("text_level_floors must name levels")
        if self.clip[0] >= self.clip[1]:
            raise ValueError("clip must be a lower and an upper probability")

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
    memory_seconds: Positive  # evidence this old weighs 1/e
    prior_seconds: Positive  # the prior weighs as much as this long of full evidence
    minimum_chunk_seconds: Positive  # a chunk's length is taken as at least this
    maximum_chunk_seconds: Positive
    enter: dict[str, Probability]  # by level: a score that reaches it raises to the level
    leave: dict[str, Probability]  # by level: only a score below it lowers from the level
    cue_hold_seconds: Positive  # a cue of danger holds its level this long

    def __post_init__(self) -> None:
        labels = [level.label for level in RISEN_LEVELS]
        if set(self.enter) != set(labels) or set(self.leave) != set(labels):
            raise ValueError("enter and leave must name each level above low")
        for thresholds in (self.enter, self.leave):
            if any(thresholds[lower] >= thresholds[higher] for lower, higher in pairwise(labels)):
                raise ValueError("a higher level needs a higher threshold")
        if any(self.leave[label] >= self.enter[label] for label in labels):
            raise ValueError("a level must be left below where it is entered")
        if self.minimum_chunk_seconds > self.maximum_chunk_seconds:
            raise ValueError("minimum_chunk_seconds must not be above maximum_chunk_seconds")

    @cached_property
    def cue_hold(self) -> timedelta:
        return timedelta(seconds=self.cue_hold_seconds)

    @cached_property
    def enter_thresholds(self) -> tuple[float, ...]:
        return tuple(self.enter[level.label] for level in RISEN_LEVELS)

    @cached_property
    def leave_thresholds(self) -> tuple[float, ...]:
        return tuple(self.leave[level.label] for level in RISEN_LEVELS)


@checked_dataclass(config=STRICT, frozen=True)
class DissonanceModel:
    """When what is said is not what is shown. Valences are in [-1, 1]."""

    origin: Origin
    valence: tuple[Valence, Valence, Valence, Valence, Valence, Valence]
    everyday_rates: Rates  # how often people show each emotion in daily life: actors' clips hold far more marked ones
    said_positive: Valence
    said_positive_with_deflection: Valence
    said_negative: Valence
    shown_negative: Valence
    shown_at_ease: Valence
    minimum_gap: Positive
    window_chunks: Annotated[int, Field(ge=1, le=MOST_WINDOW_CHUNKS)]  # persistence looks at so many judged chunks
    repeated_chunks: Annotated[int, Field(ge=1)]
    persistent_chunks: Annotated[int, Field(ge=1)]
    grave_score: Share


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
    if not isinstance(document, dict):
        raise ModelError("a model is an object")
    checksum = checksum_of(document)
    if document.get("checksum") != checksum:
        raise ModelError(f"model {document.get('version')!r}: the checksum is not of this content")
    try:
        model = _ADAPTER.validate_python({key: value for key, value in document.items() if key != "checksum"})
    except ValidationError as error:
        raise ModelError(f"model {document.get('version')!r}: {error}") from None
    return ModelDocument(model, checksum, document)
