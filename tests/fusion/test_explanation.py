"""Explanations say what the numbers say."""

from hypothesis import given
from hypothesis import strategies as st

from services.fusion.explanation import Action, explain, key_signals, leading_reason
from services.fusion.fold import ChunkResult
from services.fusion.science.inputs import ChunkInputs
from services.fusion.vocabulary import CrisisSignal, Emotion, Level, Modality
from tests.fusion.fold_support import folded
from tests.fusion.make import any_chunk, chunk, said, shown

CRISIS = said(0.9, signals=frozenset({CrisisSignal.SELF_HARM}))
SAD = tuple(float(emotion is Emotion.SAD) for emotion in Emotion)


def last(*chunks: ChunkInputs) -> ChunkResult:
    return folded(chunks)[-1]


def test_a_calm_chunk() -> None:
    result = last(chunk(0, shown(), shown(), said()))
    explanation = explain(result.fused, result.state)
    assert explanation.summary == "Nothing asks for attention."
    assert explanation.recommended_action is Action.NONE


def test_the_strongest_reason_comes_first_and_what_lacked_is_said() -> None:
    chunks = [chunk(number, vision=shown(probability=0.3), text=said(0.9)) for number in range(12)]
    result = last(*chunks)
    explanation = explain(result.fused, result.state)
    assert result.state.level is Level.HIGH
    assert [signal.code for signal in explanation.key_signals] == ["TEXT_DISTRESS", "FACE_DISTRESS"]
    assert explanation.summary == (
        "A counselor should look soon: the words show distress and the face shows distress. Not received: voice."
    )
    assert explanation.recommended_action is Action.CHECK_IN
    assert result.standing.reason == "TEXT_DISTRESS"


def test_a_cue_leads() -> None:
    result = last(chunk(0, vision=shown(probability=0.95), text=CRISIS))
    explanation = explain(result.fused, result.state)
    assert explanation.key_signals[0].code == "CRISIS_CUE"
    assert explanation.key_signals[0].logit == 0.0
    assert explanation.recommended_action is Action.URGENT
    assert "danger to life" in explanation.summary


def test_a_level_that_calm_chunks_inherit_is_explained_by_what_was_before() -> None:
    distressed = [chunk(number, text=said(0.9)) for number in range(12)]
    result = last(*distressed, chunk(12, text=said(0.02)))
    assert result.state.level > Level.LOW
    assert result.standing.reason == "EARLIER_DISTRESS"


def test_masking_is_told_even_when_the_level_is_low() -> None:
    result = last(chunk(0, vision=shown(distribution=SAD), text=said(0.05, valence=0.7)))
    explanation = explain(result.fused, result.state)
    assert result.state.level is Level.LOW
    assert result.standing.reason == "MASKING"
    assert explanation.recommended_action is Action.MONITOR
    assert explanation.summary.startswith("Nothing asks for attention: the words sound better")


@given(st.lists(any_chunk(), min_size=1, max_size=6))
def test_every_level_above_low_has_a_reason_among_its_signals(chunks: list[ChunkInputs]) -> None:
    for result in folded([chunk(number, one.vision, one.audio, one.text) for number, one in enumerate(chunks)]):
        state = result.state
        signals = key_signals(result.fused, state.level, state.cause)
        parts = {signal.modality: signal.logit for signal in signals if signal.modality is not None}
        assert parts.items() <= {part.modality: part.logit for part in result.fused.contributions}.items()
        if state.level > Level.LOW:
            assert leading_reason(result.fused, state.level, state.cause) in {signal.code for signal in signals}


def test_signals_are_ordered_by_their_part() -> None:
    result = last(chunk(0, shown(probability=0.3), shown(probability=0.9), said(0.02)))
    logits = [abs(signal.logit) for signal in key_signals(result.fused, Level.LOW, result.state.cause)]
    assert logits == sorted(logits, reverse=True)
    assert Modality.AUDIO is key_signals(result.fused, Level.LOW, result.state.cause)[0].modality
