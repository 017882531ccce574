"""Fusion of chunks: what each number means, and that one chunk and many have the same bits."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.fusion.science.fuse import FusedChunk, fuse_chunks
from services.fusion.science.inputs import ChunkInputs, InputArrays, Said, Shown
from services.fusion.vocabulary import KNOWN_EMOTIONS, CrisisSignal, Emotion, Level, Modality
from tests.fusion import make
from tests.fusion.make import MODEL, chunk, said, shown
from tests.fusion.reference import reference

MANY = st.lists(make.any_chunk(), min_size=1, max_size=40)


def fused(*chunks: ChunkInputs) -> list[FusedChunk]:
    return list(fuse_chunks(MODEL, InputArrays.of(chunks)))


def distribution(**shares: float) -> tuple[float, ...]:
    return tuple(shares.get(emotion.label, 0.0) for emotion in Emotion)


@given(MANY)
def test_the_logit_is_the_prior_and_the_contributions_added_up_bit_for_bit(chunks: list[ChunkInputs]) -> None:
    for result in fused(*chunks):
        total = result.prior_logit
        for part in result.contributions:
            total += part.logit
        assert total == result.logit


def test_no_chunks_are_no_results() -> None:
    assert fused() == []


@given(MANY)
def test_a_chunk_alone_has_the_same_bits_as_among_many(chunks: list[ChunkInputs]) -> None:
    assert [repr(result) for result in fused(*chunks)] == [repr(fused(one)[0]) for one in chunks]


@given(st.lists(make.any_chunk(), min_size=1, max_size=5), st.integers(1, 700))
def test_the_bits_dont_depend_on_the_place_among_hundreds(chunks: list[ChunkInputs], repeats: int) -> None:
    once = [repr(result) for result in fused(*chunks)]
    assert [repr(result) for result in fused(*(chunks * repeats))[-len(chunks) :]] == once


@given(MANY)
def test_arrays_agree_with_the_reference(chunks: list[ChunkInputs]) -> None:
    for one, result in zip(chunks, fused(*chunks), strict=True):
        expected = reference(MODEL, one)
        assert result.logit == pytest.approx(expected.logit, abs=1e-12)
        assert result.score == pytest.approx(expected.score, abs=1e-12)
        assert result.confidence == pytest.approx(expected.confidence, abs=1e-12)
        assert (result.emotions is None) == (expected.emotions is None)
        if result.emotions is not None and expected.emotions is not None:
            assert result.emotions == pytest.approx(expected.emotions, abs=1e-12)
            assert result.shown_valence == pytest.approx(expected.shown_valence, abs=1e-12)
        assert result.direction.label == expected.direction
        assert result.dissonance_score == pytest.approx(expected.dissonance_score, abs=1e-12)


@given(MANY)
def test_every_number_stays_in_its_range(chunks: list[ChunkInputs]) -> None:
    for result in fused(*chunks):
        assert 0.0 < result.score < 1.0
        assert 0.0 <= result.confidence <= 1.0
        assert 0.0 <= result.evidence <= 1.0
        assert 0.0 <= result.dissonance_score <= 1.0
        if result.emotions is not None:
            assert sum(result.emotions) == pytest.approx(1.0, abs=1e-12)


FIELDS = ("vision", "audio", "text")


def saying(field: str, probability: float, confidence: float) -> Shown | Said:
    return (said if field == "text" else shown)(probability=probability, confidence=confidence)


@given(make.any_chunk(), st.sampled_from(FIELDS), make.four_decimals(), make.four_decimals(), make.four_decimals())
def test_more_evidence_on_the_greater_side_never_lowers_confidence(
    one: ChunkInputs, field: str, probability: float, confidence: float, other: float
) -> None:
    """Whichever modality comes in addition, or becomes surer, if it says what the others together say."""
    before = fused(replace(one, **{field: None}))[0]
    lean = sum(part.weight * part.confidence * (2 * part.probability - 1) for part in before.contributions)
    agreeing = max(probability, 1 - probability) if lean >= 0 else min(probability, 1 - probability)
    weak = fused(replace(one, **{field: saying(field, agreeing, min(confidence, other))}))[0]
    strong = fused(replace(one, **{field: saying(field, agreeing, max(confidence, other))}))[0]
    assert 0.0 <= before.confidence <= weak.confidence + 1e-15
    assert weak.confidence <= strong.confidence + 1e-15
    assert strong.confidence <= 1.0


@given(
    make.any_chunk(),
    st.permutations(FIELDS),
    st.tuples(make.four_decimals(), make.four_decimals()),
    st.tuples(make.four_decimals(), make.four_decimals()),
)
def test_the_poorer_modality_never_has_the_last_word(
    one: ChunkInputs, order: list[str], says: tuple[float, float], confidences: tuple[float, float]
) -> None:
    """Quality is weight times confidence. Of two modalities that disagree, what the better one says counts for more:
    had they said it the other way round, the score would have moved towards the other.
    """
    first, second, _ = order
    weights = MODEL.distress.weights
    if weights[first] * confidences[0] < weights[second] * confidences[1]:
        first, second, confidences = second, first, (confidences[1], confidences[0])
    high, low = max(says), min(says)
    better_high = {first: saying(first, high, confidences[0]), second: saying(second, low, confidences[1])}
    better_low = {first: saying(first, low, confidences[0]), second: saying(second, high, confidences[1])}
    assert fused(replace(one, **better_high))[0].score >= fused(replace(one, **better_low))[0].score - 1e-15


@given(st.sampled_from(FIELDS), make.four_decimals(), make.four_decimals())
def test_a_modality_moves_no_further_than_its_quality_allows(field: str, says: float, confidence: float) -> None:
    part = fused(replace(chunk(), **{field: saying(field, says, confidence)}))[0].contributions[0]
    claim = min(max(says, MODEL.distress.clip[0]), MODEL.distress.clip[1])
    distance = abs(math.log(claim / (1 - claim)) - math.log(MODEL.distress.prior / (1 - MODEL.distress.prior)))
    assert abs(part.logit) <= part.weight * part.confidence * distance + 1e-12


def test_conflict_costs_confidence() -> None:
    agreeing = chunk(vision=shown(probability=0.9), audio=shown(probability=0.9))
    contradicting = chunk(vision=shown(probability=0.99), audio=shown(probability=0.01))
    assert fused(contradicting)[0].confidence < 0.3 * fused(agreeing)[0].confidence


def test_what_lacks_adds_nothing() -> None:
    result = fused(chunk(audio=shown(probability=0.7)))[0]
    assert [part.modality for part in result.contributions] == [Modality.AUDIO]


def test_confidence_without_any_evidence_is_zero() -> None:
    result = fused(chunk(vision=shown(probability=0.9, confidence=0.0)))[0]
    assert (result.confidence, result.logit) == (0.0, result.prior_logit)


@given(make.four_decimals())
def test_sadness_alone_never_drives_risk(confidence: float) -> None:
    sad = shown(Emotion.SAD, probability=MODEL.distress.prior, confidence=confidence)
    result = fused(chunk(vision=sad, audio=sad))[0]
    assert result.score == pytest.approx(MODEL.distress.prior, abs=1e-12)


@pytest.mark.parametrize(
    ("text", "least"),
    [
        (said(0.01, level=Level.HIGH), MODEL.distress.text_level_floors["high"]),
        (said(0.01, signals=frozenset({CrisisSignal.HOPELESSNESS})), MODEL.distress.hopelessness_floor),
        (said(0.01, signals=frozenset({CrisisSignal.FAREWELL})), MODEL.distress.critical_signal_floor),
        (said(0.99, level=Level.MEDIUM), 0.99),
    ],
)
def test_words_say_at_least_the_distress_that_their_level_and_cues_stand_for(text: object, least: float) -> None:
    result = fused(replace(chunk(), text=text))[0]
    assert result.contributions[0].probability == least


@pytest.mark.parametrize(
    ("signals", "level", "floor"),
    [
        ({CrisisSignal.ACTIVE_IDEATION}, Level.LOW, Level.CRITICAL),
        ({CrisisSignal.PLAN_OR_INTENT}, Level.LOW, Level.CRITICAL),
        ({CrisisSignal.SELF_HARM}, Level.LOW, Level.CRITICAL),
        ({CrisisSignal.FAREWELL}, Level.LOW, Level.CRITICAL),
        ({CrisisSignal.PASSIVE_IDEATION}, Level.LOW, Level.HIGH),
        ({CrisisSignal.HOPELESSNESS}, Level.LOW, None),
        (set(), Level.CRITICAL, Level.HIGH),
        (set(), Level.HIGH, None),
    ],
)
def test_which_words_demand_a_level(signals: set[CrisisSignal], level: Level, floor: Level | None) -> None:
    result = fused(chunk(text=said(level=level, signals=frozenset(signals))))[0]
    assert result.floor is floor
    assert result.critical_cue is (floor is Level.CRITICAL)


class TestEmotions:
    def leading(self, **modalities: object) -> Emotion:
        emotions = fused(replace(chunk(), **modalities))[0].emotions
        assert emotions is not None
        return KNOWN_EMOTIONS[int(np.argmax(emotions))]

    @pytest.mark.parametrize("emotion", [Emotion.HOPELESS, Emotion.RESIGNED, Emotion.NUMB])
    def test_shades_of_sadness_count_as_sad(self, emotion: Emotion) -> None:
        sure = shown(emotion, confidence=1.0)
        assert self.leading(vision=sure, audio=sure) is Emotion.SAD

    def test_a_less_trusted_shade_is_weaker_evidence(self) -> None:
        sad, numb = fused(
            chunk(vision=shown(distribution=distribution(sad=1.0))),
            chunk(vision=shown(distribution=distribution(numb=1.0))),
        )
        at = KNOWN_EMOTIONS.index(Emotion.SAD)
        assert sad.emotions is not None
        assert numb.emotions is not None
        assert numb.emotions[at] < sad.emotions[at]

    def test_surprise_is_no_evidence(self) -> None:
        assert fused(chunk(vision=shown(Emotion.SURPRISE, confidence=1.0)))[0].emotions is None
        happy = shown(distribution=distribution(happy=1.0))
        alone, beside = fused(chunk(vision=happy), chunk(vision=happy, audio=shown(Emotion.SURPRISE)))
        assert alone.emotions == beside.emotions

    def test_text_shows_no_emotion(self) -> None:
        assert fused(chunk(text=said(0.9)))[0].emotions is None

    def test_a_label_alone_is_evidence_too(self) -> None:
        assert self.leading(vision=shown(Emotion.ANGRY, confidence=0.7)) is Emotion.ANGRY

    def test_a_neutral_voice_says_little_against_a_clear_face(self) -> None:
        """Raters of voices alone call half of all clips neutral."""
        face = shown(distribution=distribution(happy=0.9, neutral=0.1))
        voice = shown(distribution=distribution(neutral=0.6, happy=0.1, fear=0.3))
        assert self.leading(vision=face, audio=voice) is Emotion.HAPPY
