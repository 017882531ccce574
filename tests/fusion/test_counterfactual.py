"""What a result would be otherwise is what fusing otherwise gives, bit for bit."""

from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from services.fusion.science.counterfactual import Counterfactuals, counterfactuals
from services.fusion.science.fuse import FusedChunk, fuse_chunks
from services.fusion.science.inputs import ChunkInputs, InputArrays
from services.fusion.vocabulary import CrisisSignal, Level, Modality
from tests.fusion import make
from tests.fusion.make import MODEL, chunk, said, shown

FIELDS = {Modality.VISION: "vision", Modality.AUDIO: "audio", Modality.TEXT: "text"}


def fused(inputs: ChunkInputs) -> FusedChunk:
    return fuse_chunks(MODEL, InputArrays.of([inputs]))[0]


def otherwise(whole: FusedChunk) -> Counterfactuals:
    return counterfactuals(MODEL, [whole])[0]


def sure(modality: Modality, probability: float) -> object:
    return (said if modality is Modality.TEXT else shown)(probability=probability, confidence=1.0)


@given(make.any_chunk())
def test_without_a_modality_is_as_if_it_had_not_come(inputs: ChunkInputs) -> None:
    whole = fused(inputs)
    without = otherwise(whole).without
    assert set(without) == {part.modality for part in whole.contributions}
    for modality, found in without.items():
        expected = fused(replace(inputs, **{FIELDS[modality]: None}))
        assert repr((found.logit, found.score, found.confidence)) == repr(
            (expected.logit, expected.score, expected.confidence)
        )
        assert found.demanded is (whole.floor if expected.floor is None else None)


@given(make.any_chunk())
def test_with_a_modality_is_as_if_it_had_come(inputs: ChunkInputs) -> None:
    added = otherwise(fused(inputs)).added
    assert set(added) == {modality for modality, field in FIELDS.items() if getattr(inputs, field) is None}
    for modality, found in added.items():
        calm = fused(replace(inputs, **{FIELDS[modality]: sure(modality, 0.0)}))
        distressed = fused(replace(inputs, **{FIELDS[modality]: sure(modality, 1.0)}))
        assert (found.lowest_score, found.highest_score) == (calm.score, distressed.score)


@given(make.any_chunk(), st.sampled_from(Modality))
def test_what_would_raise_a_chunk_is_the_least_that_does(inputs: ChunkInputs, modality: Modality) -> None:
    inputs = replace(inputs, **{FIELDS[modality]: None})
    assume(make.predictions(inputs))
    whole = fused(inputs)
    found = otherwise(whole).added[modality]
    above = [
        level
        for level, enter in zip(list(Level)[1:], MODEL.session.enter_thresholds, strict=True)
        if whole.score < enter
    ]
    if found.raising is None:
        assert not above or found.highest_score < MODEL.session.enter[above[0].label]
        return
    threshold = MODEL.session.enter[found.raising.level.label]
    least = found.raising.probability
    assert found.raising.level is above[0]
    assert fused(replace(inputs, **{FIELDS[modality]: sure(modality, least)})).score >= threshold
    assert fused(replace(inputs, **{FIELDS[modality]: sure(modality, round(least - 1e-4, 4))})).score < threshold


@given(st.lists(make.any_chunk(), max_size=12))
def test_a_page_at_once_is_each_chunk_alone(chunks: list[ChunkInputs]) -> None:
    wholes = [fused(one) for one in chunks]
    assert repr(counterfactuals(MODEL, wholes)) == repr([otherwise(whole) for whole in wholes])


def test_words_that_demand_a_level_say_so() -> None:
    crisis = said(0.9, signals=frozenset({CrisisSignal.SELF_HARM}))
    found = otherwise(fused(chunk(vision=shown(), text=crisis))).without
    assert found[Modality.TEXT].demanded is Level.CRITICAL
    assert found[Modality.VISION].demanded is None


def test_nothing_raises_a_chunk_that_is_at_the_top() -> None:
    top = fused(chunk(audio=shown(probability=1.0, confidence=1.0), text=said(1.0, 1.0)))
    assert top.score >= MODEL.session.enter["critical"]
    assert otherwise(top).added[Modality.VISION].raising is None


def test_a_calm_voice_would_have_lowered_what_words_say_alone() -> None:
    words = fused(chunk(text=said(0.9)))
    found = otherwise(words).added[Modality.AUDIO]
    assert found.lowest_score < words.score < found.highest_score
    assert otherwise(words).without[Modality.TEXT].score == pytest.approx(MODEL.distress.prior)
