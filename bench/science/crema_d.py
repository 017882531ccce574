"""CREMA-D: raters' votes on acted clips heard, seen, and both (Cao et al. 2014, ODbL 1.0).

Votes heard alone and votes seen alone are two real, noisy predictions of the same moment.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import numpy as np

from services.fusion.fuse import fuse
from services.fusion.inputs import ChunkInputs, Floats, InputArrays, Integers, Shown
from services.fusion.model import FusionModel
from services.fusion.vocabulary import KNOWN_EMOTIONS, Emotion, Modality

# The letters of the file in the order of KNOWN_EMOTIONS.
LETTERS = "NHSAFD"
MODEL_VERSION = "crema-d-raters"
_START = datetime(2014, 10, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Clips:
    """n clips. Shares of votes are (n, 6) in the order of KNOWN_EMOTIONS; `intended` indexes it."""

    actor: Integers
    intended: Integers
    voice: Floats
    face: Floats
    panel: Floats

    def __len__(self) -> int:
        return len(self.actor)

    def where(self, rows: np.typing.NDArray[np.bool_]) -> "Clips":
        return Clips(self.actor[rows], self.intended[rows], self.voice[rows], self.face[rows], self.panel[rows])


def load(path: Path) -> Clips:
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return Clips(
        actor=np.array([int(row["actor"]) for row in rows], np.int64),
        intended=np.array([LETTERS.index(row["intended"]) for row in rows], np.int64),
        voice=_shares(rows, "voice"),
        face=_shares(rows, "face"),
        panel=_shares(rows, "av"),
    )


def _shares(rows: Sequence[dict[str, str]], condition: str) -> Floats:
    votes = np.array([[float(row[f"{condition}_{letter}"]) for letter in LETTERS] for row in rows])
    shares: Floats = votes / votes.sum(axis=1, keepdims=True)
    return shares


def as_chunks(clips: Clips, modalities: Sequence[Modality]) -> Sequence[ChunkInputs]:
    """Each clip as the chunk that an edge app would send: label, confidence and distribution of face and voice."""
    chunks = []
    for number in range(len(clips)):
        start = _START + timedelta(seconds=10 * number)
        face = _shown(clips.face[number]) if Modality.VISION in modalities else None
        voice = _shown(clips.voice[number]) if Modality.AUDIO in modalities else None
        chunks.append(ChunkInputs(UUID(int=number), start, start + timedelta(seconds=10), face, voice))
    return chunks


def _shown(shares: Floats) -> Shown:
    leading = int(shares.argmax())
    distribution = np.zeros(len(Emotion), np.float32)
    for emotion, share in zip(KNOWN_EMOTIONS, shares, strict=True):
        distribution[emotion - 1] = share
    return Shown(
        emotion=KNOWN_EMOTIONS[leading],
        probability=0.0,
        confidence=round(float(shares[leading]), 4),
        distribution=tuple(distribution.tolist()),
        model_version=MODEL_VERSION,
    )


def fused_emotions(model: FusionModel, clips: Clips, modalities: Sequence[Modality]) -> Floats:
    """Probabilities (n, 6) by the code that the service runs."""
    return fuse(model, InputArrays.of(as_chunks(clips, modalities))).emotions


def hit_share(truth: Integers, shares: Floats) -> float:
    """How often the greatest share is the truth, ties sharing the credit."""
    best = shares == shares.max(axis=1, keepdims=True)
    return float((best[np.arange(len(truth)), truth] / best.sum(axis=1)).mean())


def panel_agreement(clips: Clips, probabilities: Floats) -> float:
    """How often the likeliest emotion is what most of those said who saw and heard the clip, ties sharing the
    credit.
    """
    return hit_share(probabilities.argmax(axis=1), clips.panel)


def negative_log_likelihood(intended: Integers, probabilities: Floats) -> float:
    return float(-np.log(probabilities[np.arange(len(intended)), intended]).mean())


def expected_calibration_error(intended: Integers, probabilities: Floats, bins: int = 10) -> float:
    """Mean gap between the likeliest emotion's probability and how often it is right, over bins of equal width."""
    stated = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == intended
    which = np.minimum((stated * bins).astype(int), bins - 1)
    gaps = [
        abs(right[which == number].mean() - stated[which == number].mean()) * (which == number).mean()
        for number in range(bins)
        if (which == number).any()
    ]
    return float(sum(gaps))
