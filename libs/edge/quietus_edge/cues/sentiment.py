"""Valence of what was said: a list of words with what turns and strengthens them, and weights learned from diaries."""

import math
from collections.abc import Mapping, Sequence

from quietus_edge.cues.lexicon import Lexicon
from quietus_edge.cues.words import Words

# So many words before one can turn it or change its strength.
REACH_WORDS = 3
TURNED = -0.6
BEFORE_BUT, AFTER_BUT = 0.6, 1.3
# A sum of about this size is half way to certain.
HALF_SUM_SQUARED = 15.0
# The longest prefix of a Swahili verb: hatu-ja-wa-.
_PREFIX_MAX_LETTERS = 9
_VOWELS = ("a", "e", "i", "u")


def lexical_score(text: Words, lexicon: Lexicon, idiomatic: frozenset[int] = frozenset()) -> float | None:
    """From the list alone, in [-1, 1], without the words at `idiomatic` places. None when no other is in the list."""
    scored = [
        (place, score)
        for place, word in enumerate(text.words)
        if place not in idiomatic and (score := _of_word(word, lexicon))
    ]
    if not scored:
        return None
    but = max((place for place, word in enumerate(text.words) if word in lexicon.sentiment.contrasts), default=None)
    total = 0.0
    for place, score in scored:
        weight = 1.0 if but is None else BEFORE_BUT if place < but else AFTER_BUT
        total += weight * _in_place(place, score, text, lexicon)
    return total / math.sqrt(total * total + HALF_SUM_SQUARED)


def valence_of(text: Words, idiomatic: frozenset[int], lexicon: Lexicon) -> float | None:
    """In [-1, 1]. None when no word of the list is there: the learned weights only add to it."""
    lexical = lexical_score(text, lexicon, idiomatic)
    if lexical is None:
        return None
    sentiment = lexicon.sentiment
    learned = math.fsum(sentiment.weights.get(word, 0.0) for word in set(text.words))
    return math.tanh((sentiment.lexical_weight * lexical + learned) / 2)


def _in_place(place: int, score: float, text: Words, lexicon: Lexicon) -> float:
    sentiment = lexicon.sentiment
    for before in range(max(0, place - REACH_WORDS), place):
        if text.clauses[before] == text.clauses[place]:
            word = text.words[before]
            score *= TURNED if word in sentiment.turns else sentiment.factors.get(word, 1.0)
    return score


def _of_word(word: str, lexicon: Lexicon) -> float:
    score = lexicon.sentiment.words.get(word)
    if score is not None:
        return score
    return 0.0 if word in lexicon.languages["en"] else _of_stem(word, lexicon)


def _of_stem(word: str, lexicon: Lexicon) -> float:
    """Of a Swahili verb: sikufurahi is not to be glad."""
    stems: Mapping[str, float] = lexicon.sentiment.stems
    for cut in range(1, min(_PREFIX_MAX_LETTERS, len(word) - 2)):
        prefix = word[:cut]
        if prefix in lexicon.negative_prefixes or prefix in lexicon.positive_prefixes:
            for stem in _stems(word[cut:]):
                if stem in stems:
                    return stems[stem] * (TURNED if prefix in lexicon.negative_prefixes else 1.0)
    return 0.0


def _stems(rest: str) -> Sequence[str]:
    """A verb ends in -a, in -i when denied and in -e when wished for."""
    return (rest, rest[:-1] + "a") if rest.endswith(_VOWELS) else (rest,)
