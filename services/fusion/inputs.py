"""What fusion keeps of a chunk's predictions, and the same as arrays."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from services.fusion.vocabulary import CRITICAL_SIGNALS, CrisisSignal, Emotion, Level, Modality

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]
Integers = NDArray[np.int64]
Strings = NDArray[np.object_]


@dataclass(frozen=True, slots=True)
class Window:
    """One chunk of a session, as all modalities know it. Times are capture times."""

    chunk_id: UUID
    capture_start_time: datetime
    capture_end_time: datetime

    @property
    def key(self) -> tuple[datetime, UUID]:
        """Its place in the session."""
        return (self.capture_end_time, self.chunk_id)


@dataclass(frozen=True, slots=True)
class Shown:
    """What a face or a voice shows. `probability` is its distress or stress, [0, 1]."""

    emotion: Emotion
    probability: float
    confidence: float
    distribution: tuple[float, ...] | None  # ten probabilities in the order of the emotions' numbers
    model_version: str


@dataclass(frozen=True, slots=True)
class Said:
    """What words say, without the words. `valence` is in [-1, 1], or None when nobody measured it."""

    level: Level
    probability: float
    confidence: float
    valence: float | None
    deflection: bool
    signals: frozenset[CrisisSignal]
    model_version: str


@dataclass(frozen=True, slots=True)
class Prediction(Window):
    """One modality of one chunk, as ingest accepted it."""

    modality: Modality
    content: Shown | Said


@dataclass(frozen=True, slots=True)
class ChunkInputs(Window):
    """Everything that has come of one chunk so far."""

    vision: Shown | None = None
    audio: Shown | None = None
    text: Said | None = None

    @classmethod
    def nothing_of(cls, window: Window) -> "ChunkInputs":
        return cls(window.chunk_id, window.capture_start_time, window.capture_end_time)

    def with_prediction(self, prediction: Prediction) -> "ChunkInputs":
        contents: dict[Modality, Any] = {
            Modality.VISION: self.vision,
            Modality.AUDIO: self.audio,
            Modality.TEXT: self.text,
        }
        contents[prediction.modality] = prediction.content
        return ChunkInputs(self.chunk_id, self.capture_start_time, self.capture_end_time, *contents.values())


@dataclass(frozen=True, slots=True)
class InputArrays:
    """n chunks. The second axis of `present`, `probability`, `confidence` is the modality (its number less 1); that of
    `emotion` and `distribution` is vision, audio; the third of `distribution` the emotion (its number less 1).
    What is absent holds 0, an absent valence NaN.
    """

    present: Booleans  # (n, 3)
    probability: Floats  # (n, 3)
    confidence: Floats  # (n, 3)
    emotion: Integers  # (n, 2), numbers of emotions
    distribution: Floats  # (n, 2, 10); all 0 where a model gave a label alone
    model_version: Strings  # (n, 2), of the edge models; empty where absent
    text_level: Integers  # (n,)
    valence: Floats  # (n,)
    deflection: Booleans  # (n,)
    hopelessness: Booleans  # (n,)
    passive_ideation: Booleans  # (n,)
    critical_signal: Booleans  # (n,)

    @classmethod
    def of(cls, chunks: Sequence[ChunkInputs]) -> "InputArrays":
        n = len(chunks)
        arrays = cls(
            present=np.zeros((n, 3), np.bool_),
            probability=np.zeros((n, 3)),
            confidence=np.zeros((n, 3)),
            emotion=np.full((n, 2), int(Emotion.NEUTRAL), np.int64),
            distribution=np.zeros((n, 2, len(Emotion))),
            model_version=np.full((n, 2), "", np.object_),
            text_level=np.full(n, int(Level.LOW), np.int64),
            valence=np.full(n, np.nan),
            deflection=np.zeros(n, np.bool_),
            hopelessness=np.zeros(n, np.bool_),
            passive_ideation=np.zeros(n, np.bool_),
            critical_signal=np.zeros(n, np.bool_),
        )
        for row, chunk in enumerate(chunks):
            for column, prediction in enumerate((chunk.vision, chunk.audio, chunk.text)):
                if prediction is not None:
                    arrays.present[row, column] = True
                    arrays.probability[row, column] = prediction.probability
                    arrays.confidence[row, column] = prediction.confidence
            for column, shown in enumerate((chunk.vision, chunk.audio)):
                if shown is not None:
                    arrays.emotion[row, column] = shown.emotion
                    arrays.model_version[row, column] = shown.model_version
                    if shown.distribution is not None:
                        arrays.distribution[row, column] = shown.distribution
            if chunk.text is not None:
                arrays._set_text(row, chunk.text)
        return arrays

    def _set_text(self, row: int, text: Said) -> None:
        self.text_level[row] = text.level
        if text.valence is not None:
            self.valence[row] = text.valence
        self.deflection[row] = text.deflection
        if text.signals:
            self.hopelessness[row] = CrisisSignal.HOPELESSNESS in text.signals
            self.passive_ideation[row] = CrisisSignal.PASSIVE_IDEATION in text.signals
            self.critical_signal[row] = bool(text.signals & CRITICAL_SIGNALS)
