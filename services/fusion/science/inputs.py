"""What fusion keeps of a chunk's predictions, and the same as arrays."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from itertools import chain
from typing import Any, NamedTuple
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
        vision = _columns(Shown, [chunk.vision or _NOTHING_SHOWN for chunk in chunks])
        audio = _columns(Shown, [chunk.audio or _NOTHING_SHOWN for chunk in chunks])
        text = _columns(Said, [chunk.text or _NOTHING_SAID for chunk in chunks])
        cues = np.fromiter(chain.from_iterable(map(_cues, text.signals)), np.bool_, 3 * len(chunks)).reshape(-1, 3)
        present = (
            [chunk.vision is not None for chunk in chunks],
            [chunk.audio is not None for chunk in chunks],
            [chunk.text is not None for chunk in chunks],
        )
        return cls(
            present=np.array(present, np.bool_).T.copy(),
            probability=_side_by_side(vision.probability, audio.probability, text.probability),
            confidence=_side_by_side(vision.confidence, audio.confidence, text.confidence),
            emotion=np.fromiter(chain(vision.emotion, audio.emotion), np.int64).reshape(2, -1).T.copy(),
            distribution=np.stack([_distributions(vision.distribution), _distributions(audio.distribution)], axis=1),
            model_version=np.array([vision.model_version, audio.model_version], np.object_).T,
            text_level=np.array(text.level, np.int64),
            valence=np.array(text.valence, np.float64),  # None becomes NaN
            deflection=np.array(text.deflection, np.bool_),
            hopelessness=cues[:, 0],
            passive_ideation=cues[:, 1],
            critical_signal=cues[:, 2],
        )

    def check(self) -> None:
        """ValueError for what is outside of [0, 1]: a NaN would stay in the session's state for ever."""
        for shares in (self.probability, self.confidence, self.distribution):
            if not ((shares >= 0.0) & (shares <= 1.0)).all():
                raise ValueError("not in [0, 1]")


def _columns(kind: type[Any], rows: Sequence[tuple[Any, ...]]) -> Any:
    """One of the kind, whose fields are those of all rows."""
    return kind._make(zip(*rows, strict=True)) if rows else kind._make(() for _ in kind._fields)


def _side_by_side(*columns: Sequence[float]) -> Floats:
    """Along the second axis."""
    return np.array(columns, np.float64).T.copy()


def _distributions(column: Sequence[tuple[float, ...] | None]) -> Floats:
    shares = chain.from_iterable(one or _NO_DISTRIBUTION for one in column)
    return np.fromiter(shares, np.float64).reshape(-1, len(Emotion))


@lru_cache
def _cues(signals: frozenset[CrisisSignal]) -> tuple[bool, bool, bool]:
    """Hopelessness, passive ideation, and any that is critical."""
    return (
        CrisisSignal.HOPELESSNESS in signals,
        CrisisSignal.PASSIVE_IDEATION in signals,
        not CRITICAL_SIGNALS.isdisjoint(signals),
    )
