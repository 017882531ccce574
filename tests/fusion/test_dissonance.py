"""Valence said against valence shown."""

import pytest

from services.fusion.science.dissonance import stated_emotion
from services.fusion.science.fuse import FusedChunk, fuse_chunks
from services.fusion.science.inputs import InputArrays, Shown
from services.fusion.vocabulary import Direction, Emotion
from tests.fusion.make import MODEL, chunk, said, shown


def judged(valence: float | None, face: Shown | None, *, deflection: bool = False) -> FusedChunk:
    inputs = chunk(vision=face, audio=face, text=said(valence=valence, deflection=deflection))
    return fuse_chunks(MODEL, InputArrays.of([inputs]))[0]


SAD = shown(distribution=tuple(float(emotion is Emotion.SAD) for emotion in Emotion))
HAPPY = shown(distribution=tuple(float(emotion is Emotion.HAPPY) for emotion in Emotion))
NEUTRAL = shown(distribution=tuple(float(emotion is Emotion.NEUTRAL) for emotion in Emotion))


@pytest.mark.parametrize(
    ("valence", "face", "direction"),
    [
        (0.7, SAD, Direction.MASKING),
        (-0.7, HAPPY, Direction.COPING),
        (-0.7, NEUTRAL, Direction.COPING),
        (-0.7, SAD, Direction.CONGRUENT),
        (0.7, HAPPY, Direction.CONGRUENT),
        (0.4, NEUTRAL, Direction.CONGRUENT),
        (0.0, SAD, Direction.CONGRUENT),
        (None, SAD, Direction.UNCLEAR),
        (0.7, None, Direction.UNCLEAR),
    ],
)
def test_direction(valence: float | None, face: Shown | None, direction: Direction) -> None:
    assert judged(valence, face).direction is direction


def test_a_deflection_makes_flat_words_positive() -> None:
    assert judged(0.05, SAD, deflection=True).direction is Direction.MASKING
    assert judged(0.05, SAD).direction is Direction.CONGRUENT


def test_strength_is_half_the_gap_and_nothing_where_nothing_differs() -> None:
    masking = judged(0.8, SAD)
    assert masking.shown_valence is not None
    assert masking.dissonance_score == pytest.approx((0.8 - masking.shown_valence) / 2)
    assert judged(0.7, HAPPY).dissonance_score == 0.0


def test_a_difference_of_labels_is_no_dissonance() -> None:
    """A sad face with a fearful voice: two labels, one valence."""
    fear = shown(distribution=tuple(float(emotion is Emotion.FEAR) for emotion in Emotion))
    inputs = chunk(vision=SAD, audio=fear, text=said(valence=-0.5))
    assert fuse_chunks(MODEL, InputArrays.of([inputs]))[0].direction is Direction.CONGRUENT


def test_a_calm_face_is_at_ease_in_daily_life() -> None:
    """Neutral clips are rare among actors; without everyday rates a calm person would seem unhappy."""
    valence = judged(0.4, NEUTRAL).shown_valence
    assert valence is not None
    assert abs(valence) < 0.1


@pytest.mark.parametrize(("valence", "emotion"), [(0.5, Emotion.HAPPY), (0.0, Emotion.NEUTRAL), (-0.5, Emotion.SAD)])
def test_what_words_state(valence: float, emotion: Emotion) -> None:
    assert stated_emotion(MODEL.dissonance, valence) is emotion
