"""The valence of what is said against the valence of what is shown."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import numpy as np

from services.fusion.science.inputs import Booleans, Floats, Integers
from services.fusion.science.model import DissonanceModel, array_of
from services.fusion.science.sums import in_order
from services.fusion.vocabulary import KNOWN_EMOTIONS, Direction, Emotion, Level


@dataclass(frozen=True, slots=True)
class Compared:
    """n chunks."""

    direction: Integers  # (n,), numbers of Direction
    score: Floats  # (n,): half the gap of the valences where masking or coping, else 0; [0, 1]
    shown_valence: Floats  # (n,), NaN where neither face nor voice shows anything
    shown_emotion: Integers  # (n,), number of the likeliest emotion; 0 where nothing is shown


def compare(
    model: DissonanceModel, base_rates: tuple[float, ...], emotions: Floats, valence: Floats, deflection: Booleans
) -> Compared:
    """`emotions` (n, 6) as the stacker gives them, `valence` (n,) of the words, NaN where either is missing.

    The stacker speaks of acted clips, where one in seven is neutral. In daily life most moments are: without moving
    its odds from `base_rates` to everyday rates, every calm face would look slightly unhappy and every "I'm fine"
    like a mask. A mere difference is not dissonance: masking needs positive words over a negative face or voice,
    coping negative words over ones at ease.
    """
    everyday = _reweighted(emotions, array_of(model.everyday_rates) / array_of(base_rates))
    shown = in_order(everyday * array_of(model.valence))
    gap = valence - shown  # NaN where either side is: then every comparison below is False
    needed = np.where(deflection, model.said_positive_with_deflection, model.said_positive)
    masking = (valence >= needed) & (shown <= model.shown_negative) & (gap >= model.minimum_gap)
    coping = (valence <= model.said_negative) & (shown >= model.shown_at_ease) & (gap <= -model.minimum_gap)
    direction = np.where(np.isnan(gap), int(Direction.UNCLEAR), int(Direction.CONGRUENT))
    direction = np.where(masking, int(Direction.MASKING), np.where(coping, int(Direction.COPING), direction))
    return Compared(
        direction=direction,
        score=np.where(masking | coping, np.abs(gap) / 2.0, 0.0),
        shown_valence=shown,
        shown_emotion=_likeliest(everyday),
    )


def _reweighted(emotions: Floats, ratio: Floats) -> Floats:
    odds = emotions * ratio
    shares: Floats = odds / in_order(odds)[:, None]
    return shares


def _likeliest(emotions: Floats) -> Integers:
    numbers = np.array([int(emotion) for emotion in KNOWN_EMOTIONS])
    nothing = np.isnan(emotions[:, 0])
    best = np.where(nothing[:, None], 0.0, emotions).argmax(axis=1)
    return np.where(nothing, 0, numbers[best])


def stated_emotion(model: DissonanceModel, valence: float) -> Emotion:
    """Words come as a valence, so that is all the emotion that they state."""
    if valence >= model.said_positive:
        return Emotion.HAPPY
    return Emotion.SAD if valence <= model.said_negative else Emotion.NEUTRAL


@dataclass(frozen=True, slots=True)
class Finding:
    """What one dissonant chunk means among the chunks before it."""

    interpretation: str  # MASKING_MOMENT, _REPEATED or _PERSISTENT, or COPING_...
    level: Level
    evidence: tuple[UUID, ...]  # the chunks that it rests on, oldest first, this one last


def interpret(
    model: DissonanceModel, direction: Direction, score: float, recent: Sequence[tuple[UUID, Direction]]
) -> Finding | None:
    """`recent`: the last chunks that could be judged, in the order of capture, the one in question last.

    None when it is congruent or unclear. Coping is never a risk of its own.
    """
    if direction not in (Direction.MASKING, Direction.COPING):
        return None
    window = recent[-model.window_chunks :]
    evidence = tuple(chunk_id for chunk_id, judged in window if judged == direction)
    if len(evidence) >= model.persistent_chunks:
        persistence, level = "PERSISTENT", Level.HIGH if score >= model.grave_score else Level.MEDIUM
    elif len(evidence) >= model.repeated_chunks:
        persistence, level = "REPEATED", Level.MEDIUM
    else:
        persistence, level = "MOMENT", Level.LOW
    return Finding(
        interpretation=f"{direction.name}_{persistence}",
        level=level if direction is Direction.MASKING else Level.LOW,
        evidence=evidence,
    )
