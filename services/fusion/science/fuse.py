"""Fuses chunks: from inputs to distress, emotions and dissonance. One implementation for one chunk and for many.

Every step works element by element or adds in a fixed order, so a chunk alone and the same chunk among thousands
have the same bits, and so has a replay on the same platform and numpy version.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import compress, repeat
from math import isnan
from typing import NamedTuple

import numpy as np

from services.fusion.science import dissonance, emotion, pooling, reliability, words
from services.fusion.science.inputs import Booleans, Floats, InputArrays, Integers
from services.fusion.science.model import EmotionModel, FusionModel, ModalityReliability, VersionReliability
from services.fusion.vocabulary import Direction, Emotion, Level, Modality


@dataclass(frozen=True, slots=True)
class FusedArrays:
    """n chunks."""

    present: Booleans  # (n, 3)
    probability: Floats  # (n, 3): distress that each modality says, [0, 1]
    confidence_in: Floats  # (n, 3): its confidence
    fitted: Booleans  # (n, 3): its reliability is that of its edge model's version, not of the modality in general
    pooled: pooling.Pooled
    emotions: Floats  # (n, 6), NaN where nothing is shown
    compared: dissonance.Compared
    valence: Floats  # (n,), of what is said
    floor: Integers  # (n,), level that the words demand, or words.NO_FLOOR
    critical_cue: Booleans  # (n,)


def fuse(model: FusionModel, arrays: InputArrays) -> FusedArrays:
    said = words.probabilities(model.distress, arrays)
    emotions = _emotions(model, arrays)
    return FusedArrays(
        present=arrays.present,
        probability=said,
        confidence_in=arrays.confidence,
        fitted=_fitted(model, arrays),
        pooled=pooling.pool(model.distress, arrays.present, said, arrays.confidence),
        emotions=emotions,
        compared=dissonance.compare(
            model.dissonance, model.emotion.base_rates, emotions, arrays.valence, arrays.deflection
        ),
        valence=arrays.valence,
        floor=words.level_floors(arrays),
        critical_cue=arrays.critical_signal,
    )


def _fitted(model: FusionModel, arrays: InputArrays) -> Booleans:
    fitted = np.zeros(arrays.present.shape, np.bool_)
    for modality, _, versions in _tables(model.emotion):
        column = modality - 1
        fitted[:, column] = reliability.is_fitted(versions, arrays.model_version[:, column])
    return fitted


def _tables(model: EmotionModel) -> Sequence[tuple[Modality, ModalityReliability, Mapping[str, VersionReliability]]]:
    return (
        (Modality.VISION, model.vision, model.vision_versions),
        (Modality.AUDIO, model.audio, model.audio_versions),
    )


def _emotions(model: FusionModel, arrays: InputArrays) -> Floats:
    shown = []
    for modality, table, versions in _tables(model.emotion):
        column = modality - 1
        evidence, trusted = reliability.evidence(
            model.emotion,
            table,
            versions,
            arrays.emotion[:, column],
            arrays.confidence[:, column],
            arrays.distribution[:, column],
            arrays.model_version[:, column],
        )
        shown.append((evidence, arrays.present[:, column] & reliability.is_evidence(model.emotion, trusted)))
    (vision, has_vision), (audio, has_audio) = shown
    return emotion.stack(model.emotion, vision, audio, has_vision, has_audio)


class Contribution(NamedTuple):
    """What one modality adds to the logit: weight x confidence x (logit(probability) - prior logit)."""

    modality: Modality
    probability: float
    weight: float
    confidence: float
    logit: float
    fitted: bool = False  # its emotions are read by a table of its edge model's version


class FusedChunk(NamedTuple):
    """One chunk by itself, before the session's state."""

    score: float
    logit: float
    prior_logit: float
    evidence: float  # share of all evidence that there could be, [0, 1]
    confidence: float
    contributions: tuple[Contribution, ...]  # by modality number
    emotions: tuple[float, ...] | None  # six, in the order of KNOWN_EMOTIONS
    direction: Direction
    dissonance_score: float
    said_valence: float | None
    shown_valence: float | None
    shown_emotion: Emotion | None
    floor: Level | None
    critical_cue: bool


def chunks_of(model: FusionModel, fused: FusedArrays) -> Sequence[FusedChunk]:
    """In columns, and only then chunk by chunk: each value is made once, by what makes many of its kind."""
    columns = (
        fused.pooled.score.tolist(),
        fused.pooled.logit.tolist(),
        repeat(fused.pooled.prior_logit, len(fused.present)),
        fused.pooled.evidence.tolist(),
        fused.pooled.confidence.tolist(),
        _contributions(model, fused),
        [None if isnan(shares[0]) else tuple(shares) for shares in fused.emotions.tolist()],
        map(_DIRECTIONS.get, fused.compared.direction.tolist()),
        fused.compared.score.tolist(),
        map(_known, fused.valence.tolist()),
        map(_known, fused.compared.shown_valence.tolist()),
        map(_EMOTIONS.get, fused.compared.shown_emotion.tolist()),
        map(_LEVELS.get, fused.floor.tolist()),
        fused.critical_cue.tolist(),
    )
    return list(map(FusedChunk._make, zip(*columns, strict=True)))


# What a column holds by its number; None for "nothing".
_DIRECTIONS = {int(direction): direction for direction in Direction}
_EMOTIONS = {int(emotion): emotion for emotion in Emotion}
_LEVELS = {int(level): level for level in Level}


def _contributions(model: FusionModel, fused: FusedArrays) -> Sequence[tuple[Contribution, ...]]:
    by_modality = [
        map(
            Contribution._make,
            zip(
                repeat(modality),
                fused.probability[:, modality - 1].tolist(),
                repeat(model.distress.weights[modality.label]),
                fused.confidence_in[:, modality - 1].tolist(),
                fused.pooled.contributions[:, modality - 1].tolist(),
                fused.fitted[:, modality - 1].tolist(),
                strict=False,
            ),
        )
        for modality in Modality
    ]
    return [
        tuple(compress(parts, present))
        for parts, present in zip(zip(*by_modality, strict=True), fused.present.tolist(), strict=True)
    ]


def fuse_chunks(model: FusionModel, arrays: InputArrays) -> Sequence[FusedChunk]:
    return chunks_of(model, fuse(model, arrays))


def _known(value: float) -> float | None:
    return None if isnan(value) else value
