"""A text as words and clauses: what all cues look at. Linear in the text, and bounded."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

# As many characters as a sealed transcript can have bytes; what lies behind is not looked at.
TEXT_MAX_CHARACTERS = 65_536
# On one letter.
MARKS_MAX = 30

# Letters that normalisation takes apart into marks alone.
_BECOME_MARKS = frozenset("\u0f73\u0f75\u0f81\uff9e\uff9f")
_APOSTROPHES = str.maketrans("\u2018\u2019\u02bc\u00b4`\u2032", "''''''")
_PIECE = re.compile(r"\w+(?:'\w+)*|[.!?;:,\n\u2026]+|[\u2600-\u27bf\U0001f300-\U0001faff]")
_REPEATED = re.compile(r"(.)\1{2,}")
_CONTRACTED = {"ll": "will", "re": "are", "ve": "have", "d": "would"}
_BREAKS = frozenset(".!?;:,\n\u2026")


@dataclass(frozen=True, slots=True)
class Words:
    """Lower case, without apostrophes ("don't" is dont, "I'll" is i will). Each word has the number of its clause."""

    words: Sequence[str]
    clauses: Sequence[int]


def words_of(text: str, known: frozenset[str] = frozenset()) -> Words:
    """Letters that are drawn out ("sooo") are shortened to two, or to one where that makes a `known` word."""
    plain = unicodedata.normalize("NFKC", stream_safe(text[:TEXT_MAX_CHARACTERS]))[:TEXT_MAX_CHARACTERS]
    words: list[str] = []
    clauses: list[int] = []
    clause = 0
    for piece in _PIECE.findall(plain.lower().translate(_APOSTROPHES)):
        if piece[0] in _BREAKS:
            clause += 1
            continue
        for word in _parts(piece):
            words.append(_shortened(word, known))
            clauses.append(clause)
    return Words(words, clauses)


def stream_safe(text: str) -> str:
    """Without marks beyond the thirtieth on one letter: to normalise them costs the square of their number.

    Source of the limit: Unicode Standard Annex 15, Stream-Safe Text Format.
    """
    if text.isascii():
        return text
    kept, run = [], 0
    for character in text:
        run = run + 1 if unicodedata.combining(character) or character in _BECOME_MARKS else 0
        if run <= MARKS_MAX:
            kept.append(character)
    return "".join(kept)


def _parts(piece: str) -> Sequence[str]:
    if "'" not in piece:
        return (piece,)
    stem, _, ending = piece.rpartition("'")
    if ending in _CONTRACTED:
        return (stem.replace("'", ""), _CONTRACTED[ending])
    return (piece.replace("'", ""),)


def _shortened(word: str, known: frozenset[str]) -> str:
    twice = _REPEATED.sub(r"\1\1", word)
    if twice == word or twice in known:
        return twice
    once = _REPEATED.sub(r"\1", word)
    return once if once in known else twice
