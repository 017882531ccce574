"""What fusion keeps of a chunk's predictions, and the same as arrays."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from libs.common.values import value
from services.fusion.vocabulary import CRITICAL_SIGNALS, CrisisSignal, Emotion, Level

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]
Integers = NDArray[np.int64]
Strings = NDArray[np.object_]


@value
class Window:
    """One chunk of a session, as all modalities know it. Times are capture times."""

    chunk_id: UUID
    capture_start_time: datetime
    capture_end_time: datetime

    @property
    def key(self) -> tuple[datetime, UUID]:
        """Its place in the session."""
        return (self.capture_end_time, self.chunk_id)


class Shown(NamedTuple):
    """What a face or a voice shows. `probability` is its distress or stress, [0, 1]."""

    emotion: Emotion
    probability: float
    confidence: float
    distribution: tuple[float, ...] | None  # ten probabilities in the order of the emotions' numbers
    model_version: str


class Said(NamedTuple):
    """What words say, without the words. `valence` is in [-1, 1], or None when nobody measured it."""

    level: Level
    probability: float
    confidence: float
    valence: float | None
    deflection: bool
    signals: frozenset[CrisisSignal]
    model_version: str


@value
class ChunkInputs(Window):
    """What has come of one chunk: all of it so far, or what one client batch brings."""

    vision: Shown | None = None
    audio: Shown | None = None
    text: Said | None = None

    @property
    def contents(self) -> tuple[Shown | None, Shown | None, Said | None]:
        """By the modalities' numbers."""
        return (self.vision, self.audio, self.text)

    def joined(self, more: "ChunkInputs") -> "ChunkInputs":
        """ValueError when both hold a modality: ingest takes each once."""
        if any(one and other for one, other in zip(self.contents, more.contents, strict=True)):
            raise ValueError("a modality of a chunk came twice")
        return replace(
            self, vision=more.vision or self.vision, audio=more.audio or self.audio, text=more.text or self.text
        )


_NOTHING_SHOWN = Shown(Emotion.NEUTRAL, 0.0, 0.0, None, "")
_NOTHING_SAID = Said(Level.LOW, 0.0, 0.0, None, False, frozenset(), "")
_NO_DISTRIBUTION = (0.0,) * len(Emotion)


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
        vision = [chunk.vision or _NOTHING_SHOWN for chunk in chunks]
        audio = [chunk.audio or _NOTHING_SHOWN for chunk in chunks]
        text = [chunk.text or _NOTHING_SAID for chunk in chunks]
        signals = [said.signals for said in text]
        return cls(
            present=np.array([[part is not None for part in chunk.contents] for chunk in chunks], np.bool_).reshape(
                -1, 3
            ),
            probability=_side_by_side([one.probability for one in column] for column in (vision, audio, text)),
            confidence=_side_by_side([one.confidence for one in column] for column in (vision, audio, text)),
            emotion=_side_by_side([one.emotion for one in column] for column in (vision, audio)).astype(np.int64),
            distribution=_side_by_side(
                np.array([one.distribution or _NO_DISTRIBUTION for one in column]).reshape(-1, len(Emotion))
                for column in (vision, audio)
            ),
            model_version=np.array([[one.model_version for one in column] for column in (vision, audio)], np.object_).T,
            text_level=np.array([said.level for said in text], np.int64),
            valence=np.array([said.valence for said in text], np.float64),  # None becomes NaN
            deflection=np.array([said.deflection for said in text], np.bool_),
            hopelessness=np.array([CrisisSignal.HOPELESSNESS in some for some in signals], np.bool_),
            passive_ideation=np.array([CrisisSignal.PASSIVE_IDEATION in some for some in signals], np.bool_),
            critical_signal=np.array([not CRITICAL_SIGNALS.isdisjoint(some) for some in signals], np.bool_),
        )


def _side_by_side(columns: Iterable[Sequence[float] | Floats]) -> Floats:
    """Along the second axis."""
    return np.stack([np.asarray(column, np.float64) for column in columns], axis=1)
