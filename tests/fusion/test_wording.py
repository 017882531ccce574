"""A language model gets facts of a closed list, and of its answer only what they say is taken."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.fusion.explanation import Wording, explain
from services.fusion.facts import MEANINGS, Fact, Kind, Strength, facts_in, facts_key, facts_of
from services.fusion.science.inputs import ChunkInputs
from services.fusion.science.session_state import LevelCause
from services.fusion.tables import EXPLANATION_WORDINGS, LLM_EXPLANATIONS
from services.fusion.vocabulary import CrisisSignal, Emotion, Level, Modality
from services.fusion.wording import (
    ANSWER_SCHEMA,
    MOST_SENTENCE_LETTERS,
    MOST_SENTENCES,
    Answer,
    AnswerRefusedError,
    Refusal,
    Sentence,
    checked,
    messages,
)
from tests.fusion.endpoint import sentence_of
from tests.fusion.fold_support import folded
from tests.fusion.make import any_chunk, chunk, said, shown

SAD = tuple(float(emotion is Emotion.SAD) for emotion in Emotion)
FACE = Fact("FACE_DISTRESS", Strength.STRONG)
VOICE = Fact("VOICE_DISTRESS", Strength.SLIGHT)
WORDS_CALM = Fact("TEXT_CALM", Strength.MODERATE)
EARLIER = Fact("EARLIER_DISTRESS", None)
GOOD = {"text": "The face shows strong distress.", "facts": ["FACE_DISTRESS"]}

MODALITY_FACTS = [code for code, meaning in MEANINGS.items() if meaning.modality is not None]
FACTS = st.lists(
    st.builds(Fact, st.sampled_from(MODALITY_FACTS), st.sampled_from(Strength)),
    min_size=1,
    max_size=3,
    unique_by=lambda fact: fact.meaning.modality,
)


def answer(*sentences: dict[str, Any]) -> str:
    return orjson.dumps({"sentences": sentences}).decode()


def sentence(text: str, *facts: str) -> dict[str, Any]:
    return {"text": text, "facts": list(facts)}


def refusal_of(content: str, *facts: Fact) -> Refusal:
    with pytest.raises(AnswerRefusedError) as caught:
        checked(content, facts)
    assert str(caught.value) == caught.value.refusal
    return caught.value.refusal


@given(st.lists(any_chunk(), min_size=1, max_size=6))
def test_facts_are_of_the_list_and_never_of_a_crisis(chunks: list[ChunkInputs]) -> None:
    for result in folded([chunk(number, one.vision, one.audio, one.text) for number, one in enumerate(chunks)]):
        facts = facts_of(result.fused, result.state)
        if facts:
            assert result.state.level in (Level.MEDIUM, Level.HIGH)
            assert result.state.cause is LevelCause.SCORE
            assert (result.fused.floor, result.fused.critical_cue) == (None, False)
            assert any(fact.meaning.kind is not Kind.CALM for fact in facts)
        assert facts_in(facts_key(facts)) == facts
        assert len(facts_key(facts)) <= LLM_EXPLANATIONS.c.facts.type.length == EXPLANATION_WORDINGS.c.facts.type.length


def test_words_of_danger_silence_the_model_for_as_long_as_they_hold() -> None:
    warning = said(0.6, signals=frozenset({CrisisSignal.PASSIVE_IDEATION}))
    before = [chunk(number, shown(probability=0.9), shown(probability=0.9)) for number in range(6)]
    results = folded([*before, chunk(6, shown(probability=0.9), text=warning), chunk(7, shown(probability=0.9))])
    assert results[5].state.level is Level.HIGH
    assert facts_of(results[5].fused, results[5].state)
    assert [facts_of(one.fused, one.state) for one in results[6:]] == [(), ()]


@given(FACTS)
def test_a_sentence_a_fact_is_taken(facts: list[Fact]) -> None:
    listed = [{"code": fact.code, "strength": fact.strength} for fact in facts]
    content = answer(*(sentence(sentence_of(fact), fact["code"]) for fact in listed))
    assert checked(content, facts) == " ".join(map(sentence_of, listed))


@given(FACTS, st.sampled_from(MODALITY_FACTS), st.sampled_from(Strength))
def test_what_isnt_so_is_refused(facts: list[Fact], code: str, strength: Strength) -> None:
    told = [*facts, Fact(code, strength)]
    lies = [{"code": fact.code, "strength": fact.strength} for fact in told]
    cited = {fact.code for fact in facts}
    content = answer(*(sentence(sentence_of(fact), fact["code"]) for fact in lies))
    if Fact(code, strength) in facts:
        assert checked(content, facts)
    else:
        assert refusal_of(content, *facts) is (Refusal.UNSUPPORTED if code in cited else Refusal.UNKNOWN_FACT)


def test_facts_of_one_kind_may_share_a_sentence() -> None:
    text = "The face and the voice show distress, while the words still appear calm."
    parts = ("The face and the voice show distress.", "The words still appear calm.")
    facts = (FACE, VOICE, WORDS_CALM)
    both = sentence(parts[0], "FACE_DISTRESS", "VOICE_DISTRESS")
    assert checked(answer(both, sentence(parts[1], "TEXT_CALM")), facts) == " ".join(parts)
    assert refusal_of(answer(sentence(text, *(fact.code for fact in facts))), *facts) is Refusal.UNSUPPORTED


def test_what_was_earlier_has_words_of_its_own() -> None:
    text = "Earlier moments of the session showed distress."
    assert checked(answer(sentence(text, EARLIER.code)), [EARLIER]) == text
    assert refusal_of(answer(sentence("The session shows distress.", EARLIER.code)), EARLIER) is Refusal.UNSUPPORTED


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        ("The voice shows strong distress.", Refusal.UNSUPPORTED),
        ("The face and the voice show distress.", Refusal.UNSUPPORTED),
        ("The face shows slight distress.", Refusal.UNSUPPORTED),
        ("The face is calm.", Refusal.UNSUPPORTED),
        ("The face was distressed earlier.", Refusal.UNSUPPORTED),
        ("The face.", Refusal.UNSUPPORTED),
        ("The moment shows strong distress.", Refusal.UNSUPPORTED),
        ("The face shows 83 distress.", Refusal.NUMBER),
        ("The face shows strong distress \u00b2.", Refusal.NUMBER),
        ("The face shows \u0664 distress.", Refusal.NUMBER),
        ("The face shows ninety distress.", Refusal.UNKNOWN_WORD),
        ("The face shows no distress.", Refusal.UNKNOWN_WORD),
        ("The face shows distress from violence at home.", Refusal.UNKNOWN_WORD),
        ("The person has depression.", Refusal.UNKNOWN_WORD),
        ("The face shows suicidal distress.", Refusal.UNKNOWN_WORD),
        ("The face shows distress. Ignore it.", Refusal.NOT_PLAIN),
        ("The face of Anna shows distress.", Refusal.NOT_PLAIN),
        ("The face shows distress at https://x.example.", Refusal.NOT_PLAIN),
        ("<b>The face shows distress.</b>", Refusal.NOT_PLAIN),
        ("The face shows d\u0456stress.", Refusal.NOT_PLAIN),
        ("The face shows\ndistress.", Refusal.NOT_PLAIN),
        ("The face shows distress", Refusal.NOT_PLAIN),
    ],
)
def test_a_sentence_that_says_anything_else_is_refused(text: str, refusal: Refusal) -> None:
    assert refusal_of(answer(sentence(text, "FACE_DISTRESS")), FACE) is refusal


def test_no_fact_is_invented_or_left_out() -> None:
    assert refusal_of(answer(sentence("The voice is calm.", "VOICE_CALM")), FACE) is Refusal.UNKNOWN_FACT
    assert refusal_of(answer(sentence("A crisis.", "CRISIS_CUE")), FACE) is Refusal.UNKNOWN_FACT
    assert refusal_of(answer(GOOD), FACE, VOICE) is Refusal.FACT_LEFT_OUT


@pytest.mark.parametrize(
    "content",
    [
        "",
        "null",
        "[]",
        "The face shows strong distress.",
        f"```json\n{answer(GOOD)}\n```",
        f"{answer(GOOD)} {answer(GOOD)}",
        orjson.dumps({"sentences": []}).decode(),
        orjson.dumps({"sentences": [GOOD], "advice": "none"}).decode(),
        orjson.dumps({"sentences": [GOOD | {"level": "low"}]}).decode(),
        orjson.dumps({"sentences": [{"text": GOOD["text"]}]}).decode(),
        orjson.dumps({"sentences": [GOOD | {"facts": []}]}).decode(),
        orjson.dumps({"sentences": [GOOD | {"facts": "FACE_DISTRESS"}]}).decode(),
        orjson.dumps({"sentences": [GOOD | {"text": 1}]}).decode(),
        orjson.dumps({"sentences": [GOOD] * (MOST_SENTENCES + 1)}).decode(),
        orjson.dumps({"sentences": [GOOD | {"text": "A" + "a" * MOST_SENTENCE_LETTERS}]}).decode(),
        "[" * 60_000,
    ],
)
def test_an_answer_of_another_shape_is_refused(content: str) -> None:
    assert refusal_of(content, FACE) is Refusal.WRONG_SCHEMA


def test_the_schema_that_is_asked_for_is_the_one_that_is_checked() -> None:
    sentences: Any = ANSWER_SCHEMA["properties"]
    items = sentences["sentences"]["items"]
    assert set(ANSWER_SCHEMA["required"]) == set(sentences) == set(Answer.model_fields)
    assert set(items["required"]) == set(items["properties"]) == set(Sentence.model_fields)


def test_messages_hold_nothing_but_the_facts() -> None:
    system, user = messages([FACE, EARLIER])
    assert orjson.loads(user["content"]) == {
        "facts": [
            {"number": 1, "code": "FACE_DISTRESS", "strength": "strong", "meaning": "the face shows distress"},
            {
                "number": 2,
                "code": "EARLIER_DISTRESS",
                "strength": None,
                "meaning": "earlier moments of the session showed distress",
            },
        ]
    }
    assert system == messages([VOICE])[0]


def test_headline_dissonance_and_what_lacks_stay_the_templates() -> None:
    masked = [
        chunk(number, shown(probability=0.9, distribution=SAD), text=said(0.1, valence=0.7)) for number in range(9)
    ]
    result = folded(masked)[-1]
    wording = Wording("The face shows strong distress.", "model", "1")
    explanation = explain(result.fused, result.state, wording=wording)
    plain = explain(result.fused, result.state)
    assert explanation.summary == (
        "Worth watching. The face shows strong distress. The words sound better than voice and face look."
        " Not received: voice."
    )
    assert (explanation.key_signals, explanation.recommended_action, explanation.confidence) == (
        plain.key_signals,
        plain.recommended_action,
        plain.confidence,
    )
    assert {Modality.VISION, Modality.TEXT} == {part.modality for part in result.fused.contributions}
