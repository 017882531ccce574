"""What a result would be without a modality that it used, and what one that lacked could make of it.

Both are answered by the pooling that made the result, from the numbers that the result names: nothing is estimated.
They speak of the chunk by itself; how far it moves the session depends on what was before.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from services.fusion.fuse import FusedChunk
from services.fusion.model import FusionModel
from services.fusion.pooling import Pooled, pool
from services.fusion.vocabulary import Level, Modality

SURE = 1.0
# Probabilities are kept to four decimals when they are accepted.
PROBABILITY_STEPS = 10_000

Stated = Mapping[Modality, tuple[float, float]]  # distress and the confidence in it


@dataclass(frozen=True, slots=True)
class Without:
    """The chunk without one modality that it used."""

    logit: float
    score: float
    confidence: float
    demanded: Level | None  # the level that its words demand whatever the scores say; it would fall away


@dataclass(frozen=True, slots=True)
class Raising:
    """How much distress one more modality would have to say, being sure, for the chunk's score to reach a level."""

    level: Level
    probability: float  # the least, with four decimals


@dataclass(frozen=True, slots=True)
class With:
    """The chunk with one more modality, which is sure of what it says."""

    lowest_score: float  # it says that there is no distress at all
    highest_score: float  # it says that there is nothing else
    raising: (
        Raising | None
    )  # to the level above the one that the chunk's score reaches; None: nothing that it says does


@dataclass(frozen=True, slots=True)
class Counterfactuals:
    without: Mapping[Modality, Without]  # of each modality that was used
    added: Mapping[Modality, With]  # of each that lacked


def counterfactuals(model: FusionModel, chunk: FusedChunk) -> Counterfactuals:
    """`model` is the one that made the chunk."""
    stated: Stated = {part.modality: (part.probability, part.confidence) for part in chunk.contributions}
    lacking = [modality for modality in Modality if modality not in stated]
    steps = {modality: _steps_near_the_next_level(model, chunk, modality) for modality in lacking}
    asked = [{one: said for one, said in stated.items() if one is not modality} for modality in stated]
    for modality in lacking:
        asked += [{**stated, modality: (probability, SURE)} for probability in (0.0, 1.0, *steps[modality])]
    pooled = _pooled(model, asked)
    answers = zip(pooled.logit.tolist(), pooled.score.tolist(), pooled.confidence.tolist(), strict=True)
    return Counterfactuals(
        without={
            modality: Without(*next(answers), chunk.floor if modality is Modality.TEXT else None) for modality in stated
        },
        added={
            modality: _with(model, chunk, steps[modality], [next(answers)[1] for _ in range(2 + len(steps[modality]))])
            for modality in lacking
        },
    )


def _steps_near_the_next_level(model: FusionModel, chunk: FusedChunk, modality: Modality) -> Sequence[float]:
    """Around the probability that the formula names: pooling, which has the last word, says which one reaches."""
    above, weight = _level_above(model, chunk), model.distress.weights[modality.label]
    if above is None or weight <= 0.0:
        return ()
    says = chunk.prior_logit + (_logit(above[1]) - chunk.logit) / weight
    near = math.floor(PROBABILITY_STEPS / (1.0 + math.exp(-says)))
    return [step / PROBABILITY_STEPS for step in range(max(near - 1, 0), min(near + 2, PROBABILITY_STEPS) + 1)]


def _with(model: FusionModel, chunk: FusedChunk, steps: Sequence[float], scores: Sequence[float]) -> With:
    lowest, highest, *near = scores
    above = _level_above(model, chunk)
    enough = [step for step, score in zip(steps, near, strict=True) if above is not None and score >= above[1]]
    return With(lowest, highest, Raising(above[0], enough[0]) if above is not None and enough else None)


def _level_above(model: FusionModel, chunk: FusedChunk) -> tuple[Level, float] | None:
    """The lowest level that the chunk's score doesn't reach, and where it is entered; None when it reaches all."""
    entered = zip((Level.MEDIUM, Level.HIGH, Level.CRITICAL), model.session.enter_thresholds, strict=True)
    return next((one for one in entered if chunk.score < one[1]), None)


def _pooled(model: FusionModel, asked: Sequence[Stated]) -> Pooled:
    shape = (len(asked), len(Modality))
    present, probability, confidence = np.zeros(shape, np.bool_), np.zeros(shape), np.zeros(shape)
    for row, stated in enumerate(asked):
        for modality, said in stated.items():
            present[row, modality - 1] = True
            probability[row, modality - 1], confidence[row, modality - 1] = said
    return pool(model.distress, present, probability, confidence)


def _logit(probability: float) -> float:
    return math.log(probability / (1.0 - probability))
