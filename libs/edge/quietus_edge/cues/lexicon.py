"""The word lists of the extractor, read once. Each file in data/ names its source and licence."""

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from importlib.resources import files
from typing import Any

from quietus_edge.cues.phrases import Phrases

# Raised whenever the same lists give other cues.
CODE_VERSION = 1
WEIGHTS = "weights.json"
FILES = ("language.toml", "sentiment.toml", "phrases.toml", "crisis.toml", "shares.toml", WEIGHTS)

# Who, when, whether not, and whom: what may stand before the stem of a Swahili verb.
_SUBJECTS = ("ni", "u", "a", "tu", "m", "wa", "i", "")
_TENSES = ("na", "li", "ta", "me", "ki", "ka", "nge", "ngali", "")
_NEGATIONS = ("si", "hu", "ha", "hatu", "ham", "hawa", "hai")
_NEGATIVE_TENSES = ("", "ja", "ta", "ku")
_OBJECTS = ("", "ni", "ku", "m", "tu", "wa", "ji", "i")


@dataclass(frozen=True, slots=True)
class Sentiment:
    words: Mapping[str, float]
    stems: Mapping[str, float]
    factors: Mapping[str, float]
    turns: frozenset[str]
    contrasts: frozenset[str]
    # By their use: of one word, or of the score of the lists ("lexical"); learned, in log-odds.
    lexical_weight: float
    weights: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Denial:
    """When a phrase is denied, or speaks of others."""

    negators: frozenset[str]
    between: frozenset[str]
    unless_before: frozenset[str]
    contrasts: frozenset[str]
    others: frozenset[str]


@dataclass(frozen=True, slots=True)
class Lexicon:
    version: str
    languages: Mapping[str, frozenset[str]]
    english_endings: tuple[str, ...]
    sentiment: Sentiment
    counted: Mapping[str, frozenset[str]]  # words whose share is a cue, by the cue
    phrases: Phrases
    fillers: frozenset[str]
    denial: Denial
    positive_prefixes: frozenset[str]
    negative_prefixes: frozenset[str]
    vocabulary: frozenset[str]
    identifiers: Mapping[str, Sequence[str]]  # of each kind


@lru_cache(maxsize=1)
def lexicon() -> Lexicon:
    """The shipped one; takes some tenths of a second the first time."""
    return make_lexicon({name: _file(name) for name in FILES})


def shipped_weights() -> Any:
    """The document of the learned weights, with its source, licence and the checksum of what it was fitted on."""
    return _read(WEIGHTS, _file(WEIGHTS))


def _file(name: str) -> bytes:
    return files("quietus_edge.cues").joinpath("data", name).read_bytes()


def make_lexicon(data: Mapping[str, bytes]) -> Lexicon:
    read = {name: _read(name, content) for name, content in data.items()}
    listed, crisis = read["phrases.toml"], read["crisis.toml"]
    fillers = frozenset(listed["fillers"]["words"].split())
    phrases = Phrases(fillers)
    for kind in ("deflections", "topics", "coping"):
        for name, wordings in listed[kind].items():
            phrases.add(kind, name, wordings, listed["sets"])
    for name, wordings in crisis["signals"].items():
        phrases.add("crisis_signals", name, wordings, crisis["sets"])
    phrases.add("idiom", "idiom", listed["not_deflections"]["phrases"], listed["sets"])
    phrases.add("idiom", "idiom", crisis["idioms"]["phrases"], crisis["sets"])
    languages = _by_name(read["language.toml"]["words"])
    sentiment = _sentiment(read["sentiment.toml"], read[WEIGHTS])
    return Lexicon(
        version=f"cues-{CODE_VERSION}-{_checksum(data)}",
        languages=languages,
        english_endings=tuple(read["language.toml"]["endings"]["en"].split()),
        sentiment=sentiment,
        counted=_by_name(read["shares.toml"]["words"]),
        phrases=phrases,
        fillers=fillers,
        denial=_denial(crisis["denial"]),
        positive_prefixes=frozenset(s + t + o for s in _SUBJECTS for t in _TENSES for o in _OBJECTS) | {"ku", "kuji"},
        negative_prefixes=frozenset(n + t + o for n in _NEGATIONS for t in _NEGATIVE_TENSES for o in _OBJECTS),
        vocabulary=frozenset(phrases.vocabulary).union(*languages.values(), sentiment.words),
        identifiers={kind: tuple(listed[kind]) for kind in ("deflections", "topics", "coping")}
        | {"crisis_signals": tuple(crisis["signals"])},
    )


def _read(name: str, content: bytes) -> Any:
    return json.loads(content) if name.endswith(".json") else tomllib.loads(content.decode())


def _checksum(data: Mapping[str, bytes]) -> str:
    return sha256(b"".join(data[name] for name in FILES)).hexdigest()[:8]


def _sentiment(listed: Mapping[str, Any], learned: Mapping[str, Any]) -> Sentiment:
    return Sentiment(
        words=_by_number(listed["words"]),
        stems=_by_number(listed["stems"]),
        factors=_by_number(listed["factors"]),
        turns=frozenset(listed["turns"]["words"].split()),
        contrasts=frozenset(listed["turns"]["but"].split()),
        lexical_weight=learned["lexical"],
        weights=learned["words"],
    )


def _by_name(words: Mapping[str, str]) -> dict[str, frozenset[str]]:
    return {name: frozenset(some.split()) for name, some in words.items()}


def _by_number(words: Mapping[str, str]) -> dict[str, float]:
    return {word: float(number) for number, some in words.items() for word in some.split()}


def _denial(listed: Mapping[str, str]) -> Denial:
    return Denial(
        negators=frozenset(listed["negators"].split()),
        between=frozenset(listed["between"].split()),
        unless_before=frozenset(listed["unless_before"].split()),
        contrasts=frozenset(listed["contrast"].split()),
        others=frozenset(listed["others"].split()),
    )
