"""What a result would be without a modality that it used, and what one that lacked could make of it.

Both are answered by the pooling that made the result, from the numbers that the result names: nothing is estimated.
They speak of the chunk by itself; how far it moves the session depends on what was before.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from services.fusion.science.fuse import FusedChunk
from services.fusion.science.model import FusionModel
from services.fusion.science.pooling import Pooled, pool
from services.fusion.vocabulary import Level, Modality

SURE = 1.0
# Probabilities are kept to four decimals when they are accepted.
PROBABILITY_STEPS = 10_000

Stated = Mapping[Modality, tuple[float, float, float]]  # 1, the distress that it says, the confidence in it
_NOTHING = (0.0, 0.0, 0.0)


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


NOT_ASKED = Counterfactuals({}, {})


def counterfactuals(model: FusionModel, chunks: Sequence[FusedChunk]) -> Sequence[Counterfactuals]:
    """Of each chunk; `model` is the one that made them. All that is asked is pooled in one go."""
    questions = [_Questions.of(model, chunk) for chunk in chunks]
    pooled = _pooled(model, [stated for one in questions for stated in one.asked])
    answers = zip(pooled.logit.tolist(), pooled.score.tolist(), pooled.confidence.tolist(), strict=True)
    return [one.answered(model, answers) for one in questions]


@dataclass(frozen=True, slots=True)
class _Questions:
    """What pooling is asked for one chunk: without each modality that was used; then, for each that lacked, with one
    that says no distress, nothing else, and each of `steps`.
    """

    chunk: FusedChunk
    used: Sequence[Modality]
    steps: Mapping[Modality, Sequence[float]]
    asked: Sequence[Stated]

    @classmethod
    def of(cls, model: FusionModel, chunk: FusedChunk) -> "_Questions":
        stated: Stated = {part.modality: (1.0, part.probability, part.confidence) for part in chunk.contributions}
        lacking = [modality for modality in Modality if modality not in stated]
        steps = {modality: _steps_near_the_next_level(model, chunk, modality) for modality in lacking}
        asked = [{one: said for one, said in stated.items() if one is not modality} for modality in stated]
        for modality in lacking:
            asked += [{**stated, modality: (1.0, probability, SURE)} for probability in (0.0, 1.0, *steps[modality])]
        return cls(chunk, list(stated), steps, asked)

    def answered(self, model: FusionModel, answers: Iterator[tuple[float, float, float]]) -> Counterfactuals:
        """Takes as many answers as it asked."""
        without = {
            modality: Without(*next(answers), self.chunk.floor if modality is Modality.TEXT else None)
            for modality in self.used
        }
        added = {
            modality: _with(model, self.chunk, steps, [next(answers)[1] for _ in range(2 + len(steps))])
            for modality, steps in self.steps.items()
        }
        return Counterfactuals(without, added)


def _steps_near_the_next_level(model: FusionModel, chunk: FusedChunk, modality: Modality) -> Sequence[float]:
    """Around the probability that the formula names: pooling, which has the last word, says which one reaches."""
    above, weight = _level_above(model, chunk), model.distress.weights[modality.label]
    if above is None or weight <= 0.0:
        return ()
    says = chunk.prior_logit + (_logit(above[1]) - chunk.logit) / weight
    near = math.floor(PROBABILITY_STEPS / (1.0 + math.exp(-says)))
    return [step / PROBABILITY_STEPS for step in range(near, min(near + 1, PROBABILITY_STEPS) + 1)]


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
    cells = np.array([[stated.get(modality, _NOTHING) for modality in Modality] for stated in asked]).reshape(-1, 3, 3)
    return pool(model.distress, cells[:, :, 0] > 0.0, cells[:, :, 1], cells[:, :, 2])


def _logit(probability: float) -> float:
    return math.log(probability / (1.0 - probability))
