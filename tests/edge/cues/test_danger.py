"""Signals of danger: found as people say them, in three languages, and not where they say something else.

Every sentence is made up.
"""

import pytest

from quietus_edge.cues import extract

SAID = {
    "hopelessness": [
        "I can't take this anymore",
        "there is no way out for me",
        "It will never get better",
        "sina matumaini tena",
        "nimekata tamaa kabisa",
        "siezi endelea na hii life haina maana",
    ],
    "passive_ideation": [
        "I wish I was never born",
        "I don't want to wake up tomorrow",
        "They'd be better off without me",
        "sitaki kuishi tena",
        "natamani nisingezaliwa",
        "nimechoka na hii life",
    ],
    "active_ideation": [
        "I want to die",
        "i just really wanna DIE",
        "I keep thinking about suicide",
        "kms",
        "why not just kill myself",
        "nataka kufa",
        "nafikiria kujiua",
        "nataka kudedi tu",
    ],
    "plan_or_intent": [
        "I'm going to end it tonight",
        "I bought the pills",
        "I wrote a goodbye letter",
        "nitajiua leo usiku",
        "nimenunua sumu",
        "nitajirusha kutoka kwa gorofa",
    ],
    "self_harm": ["I cut myself again", "I've been hurting myself", "nimejikata tena", "najiumiza makusudi"],
    "farewell": [
        "goodbye everyone",
        "take care of my kids when I'm gone",
        "this is my last message",
        "kwaherini nyote",
        "hamtaniona tena",
        "tunza watoto wangu",
    ],
}


@pytest.mark.parametrize(("signal", "text"), [(signal, text) for signal, texts in SAID.items() for text in texts])
def test_a_signal_is_found(signal: str, text: str) -> None:
    assert signal in extract(text).cues.crisis_signals


@pytest.mark.parametrize(
    "text",
    [
        "I'm dying to see it",
        "She is killing it at work",
        "We were killing time",
        "I cut myself some slack",
        "I cut myself shaving",
        "I hurt myself playing football",
        "That cake is to die for",
        "I could kill for a coffee",
        "nakufa na njaa",
        "nimejikata nikipika",
        "the battery died",
    ],
)
def test_an_idiom_is_none(text: str) -> None:
    assert extract(text).cues.crisis_signals == ()


@pytest.mark.parametrize(
    "text",
    ["I don't want to die", "I would never kill myself", "I'm not suicidal", "I have no plans to kill myself"],
)
def test_a_plain_denial_is_none(text: str) -> None:
    assert extract(text).cues.crisis_signals == ()


@pytest.mark.parametrize(
    "text",
    [
        "I don't want to die but I can't stop thinking about it",
        "I don't know if I want to die",
        "I can't stop thinking about killing myself",
        "no i want to die",
        "No. I want to die",
        "I don't want to live, I want to die",
        "he told me I should kill myself",
    ],
)
def test_whatever_is_more_than_a_plain_denial_counts(text: str) -> None:
    assert "active_ideation" in extract(text).cues.crisis_signals


@pytest.mark.parametrize("text", ["he wanted to die", "people who want to die", "my sister tried to kill herself"])
def test_the_wish_of_another_is_none(text: str) -> None:
    assert extract(text).cues.crisis_signals == ()


def test_a_text_in_danger_is_never_good() -> None:
    valence = extract("I love you all, thank you for everything, goodbye everyone").valence
    assert valence is not None
    assert valence <= -0.5
