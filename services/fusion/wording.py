"""What a language model is asked, and what is taken of its answer: sentences that say the given facts, all of them and
nothing else.

Whether a sentence says more can't be read off free text. So a sentence may hold words of a short list alone, and what
a word claims must be true of every fact that the sentence cites.
"""

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Annotated

import orjson
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from services.fusion.facts import MEANINGS, Fact, Kind, Strength
from services.fusion.vocabulary import Modality

# Of all below that decides what is asked and taken: a text of another version isn't shown.
PROMPT_VERSION = "1"

MOST_SENTENCES = 4
MOST_SENTENCE_LETTERS = 160
MOST_CITED = 4

_MODALITIES = {
    Modality.VISION: "face facial expression",
    Modality.AUDIO: "voice vocal tone",
    Modality.TEXT: "words wording spoken",
}
_KINDS = {
    Kind.DISTRESS: "distress distressed strain strained tension tense unease uneasy",
    Kind.CALM: "calm calmness ease relaxed steady",
    Kind.EARLIER: "earlier before previous showed was were had",
}
_STRENGTHS = {
    Strength.STRONG: "strong strongly marked",
    Strength.MODERATE: "moderate moderately",
    Strength.SLIGHT: "slight slightly mild mildly faint",
}
_FREE = (
    "a also an and appear appears are as at both but carries carry from has have here in is it look looks moment"
    " moments of on person session show showing shows sign signs sound sounds still that the their these they this"
    " while with"
)

_MODALITY_OF = {word: modality for modality, words in _MODALITIES.items() for word in words.split()}
_KIND_OF = {word: kind for kind, words in _KINDS.items() for word in words.split()}
_STRENGTH_OF = {word: strength for strength, words in _STRENGTHS.items() for word in words.split()}
_FREE_WORDS = frozenset(_FREE.split())
VOCABULARY = tuple(sorted(_FREE_WORDS | _MODALITY_OF.keys() | _KIND_OF.keys() | _STRENGTH_OF.keys()))
_PLAIN = re.compile(r"[A-Z][a-z]*(?:[,;]? [a-z]+)*\.")
_WORD = re.compile(r"[a-z]+")

_TASK = f"""\
You put facts about one moment of a monitored session into short plain sentences for a counselor.
Answer with one JSON object: {{"sentences": [{{"text": "...", "facts": ["CODE", ...]}}, ...]}}.
Rules:
- State every given fact, and nothing that isn't given: no cause, no advice, no diagnosis, no name, no number.
- Each sentence lists in "facts" the codes of the facts that it states, and only of facts of one kind: distress, calm,
  or earlier.
- A sentence names the face, the voice or the words for each fact that it cites, and no other of them.
- Say how strong a fact is only where every fact that the sentence cites has that strength.
- At most {MOST_SENTENCES} sentences of at most {MOST_SENTENCE_LETTERS} characters. A sentence starts with a capital
  letter, goes on in lower case, and ends with a full stop; commas and semicolons are the only other signs.
- Use these words alone: {" ".join(VOCABULARY)}.
"""

# What the endpoint is asked to keep to. Bounds are left out, because not every endpoint knows them; the check has them.
ANSWER_SCHEMA = {
    "type": "object",
    "properties": {
        "sentences": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "text": {"type": "string"},
                    "facts": {"type": "array", "items": {"type": "string", "enum": list(MEANINGS)}},
                },
                "required": ["text", "facts"],
                "additionalProperties": False,
            },
        }
    },
    "required": ["sentences"],
    "additionalProperties": False,
}


class Sentence(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, hide_input_in_errors=True)

    text: Annotated[str, StringConstraints(min_length=1, max_length=MOST_SENTENCE_LETTERS)]
    facts: Annotated[list[Annotated[str, StringConstraints(max_length=32)]], Field(min_length=1, max_length=MOST_CITED)]


class Answer(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, hide_input_in_errors=True)

    sentences: Annotated[list[Sentence], Field(min_length=1, max_length=MOST_SENTENCES)]


class Refusal(StrEnum):
    """Why an answer isn't taken."""

    WRONG_SCHEMA = "WRONG_SCHEMA"
    UNKNOWN_FACT = "UNKNOWN_FACT"
    FACT_LEFT_OUT = "FACT_LEFT_OUT"
    NUMBER = "NUMBER"
    NOT_PLAIN = "NOT_PLAIN"
    UNKNOWN_WORD = "UNKNOWN_WORD"
    UNSUPPORTED = "UNSUPPORTED"


class AnswerRefusedError(Exception):
    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.value)
        self.refusal = refusal


def messages(facts: Sequence[Fact]) -> list[dict[str, str]]:
    """Of a chat. The facts are all that they say of anybody."""
    listed = [
        {"number": number, "code": fact.code, "strength": fact.strength, "meaning": fact.meaning.text}
        for number, fact in enumerate(facts, start=1)
    ]
    return [
        {"role": "system", "content": _TASK},
        {"role": "user", "content": orjson.dumps({"facts": listed}).decode()},
    ]


def checked(content: str, facts: Sequence[Fact]) -> str:
    """The sentences of an answer. AnswerRefusedError."""
    try:
        answer = Answer.model_validate_json(content)
    except ValidationError:
        raise AnswerRefusedError(Refusal.WRONG_SCHEMA) from None
    given = {fact.code: fact for fact in facts}
    for sentence in answer.sentences:
        _check(sentence, given)
    if {code for sentence in answer.sentences for code in sentence.facts} != given.keys():
        raise AnswerRefusedError(Refusal.FACT_LEFT_OUT)
    return " ".join(sentence.text for sentence in answer.sentences)


def _check(sentence: Sentence, given: Mapping[str, Fact]) -> None:
    if not given.keys() >= set(sentence.facts):
        raise AnswerRefusedError(Refusal.UNKNOWN_FACT)
    if any(character.isnumeric() for character in sentence.text):
        raise AnswerRefusedError(Refusal.NUMBER)
    if not _PLAIN.fullmatch(sentence.text):
        raise AnswerRefusedError(Refusal.NOT_PLAIN)
    words = set(_WORD.findall(sentence.text.lower()))
    if not words <= set(VOCABULARY):
        raise AnswerRefusedError(Refusal.UNKNOWN_WORD)
    if not _is_supported(words, [given[code] for code in sentence.facts]):
        raise AnswerRefusedError(Refusal.UNSUPPORTED)


def _is_supported(words: set[str], cited: Sequence[Fact]) -> bool:
    """The sentence names exactly what its facts are of, says their one kind, and no strength that one of them lacks."""
    named = {_MODALITY_OF[word] for word in words & _MODALITY_OF.keys()}
    said = {_KIND_OF[word] for word in words & _KIND_OF.keys()}
    strengths = {_STRENGTH_OF[word] for word in words & _STRENGTH_OF.keys()}
    kinds = {fact.meaning.kind for fact in cited}
    return (
        named == {fact.meaning.modality for fact in cited if fact.meaning.modality is not None}
        and len(kinds) == 1
        and said == ({Kind.EARLIER, Kind.DISTRESS} if kinds == {Kind.EARLIER} else kinds)
        and all(fact.strength is strength for strength in strengths for fact in cited)
    )
