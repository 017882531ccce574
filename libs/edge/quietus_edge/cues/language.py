"""Which language somebody speaks: English, Swahili or Sheng, and whether they mix.

Short sentences are told by their function words and, for words that stand in no list, by their shape: a Swahili word
ends in a vowel and a verb begins with who and when; an English one often does neither.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from quietus_edge.cues.lexicon import Lexicon

ENGLISH, SWAHILI = "en", "sw"
# Sheng has no tag of its own; BCP 47 leaves x- to private use.
SHENG = "sw-x-sheng"
# Of a text's words, as many have to be known for a language to be told.
KNOWN_MIN_SHARE = 0.3
# And as many in each of two languages for them to be mixed, one function word at least.
MIXED_MIN_SHARE = 0.12

_SHAPE_WEIGHT = 0.5
_SWAHILI_VERB = re.compile(
    r"(?:ni|u|a|tu|m|wa|i|li|ya|zi|ki|vi|n)(?:na|li|ta|me|ki|ka|nge)[a-z]{2,}[aeiu]"
    r"|(?:si|ha|hatu|hawa|hu|haku|siku|sija|haja|sita|hata)[a-z]{3,}[aeiu]"
    r"|(?:na|ku|kw)[b-df-hj-np-tv-z][a-z]{2,}[aeiu]"
)
# One vowel at a time: where a run of them can be cut in many ways, a long word that isn't Swahili is never done with.
SWAHILI_SHAPE = re.compile(r"(?:[bcdfghjklmnprstvwyz]{0,3}[aeiou]){2,}")


@dataclass(frozen=True, slots=True)
class Spoken:
    """`tag` is empty where no language can be told."""

    tag: str
    mixed: bool


def language_of(words: Sequence[str], lexicon: Lexicon) -> Spoken:
    evidence = Counter(_evidence(word, lexicon) for word in words)
    listed = {tag: evidence[tag] for tag in lexicon.languages}
    in_english = listed["en"] + _SHAPE_WEIGHT * (evidence["mood"] + evidence["english shape"])
    in_swahili = listed["sw"] + listed["sheng"] + evidence["verb"] + _SHAPE_WEIGHT * evidence["swahili shape"]
    known = sum(listed.values()) + evidence["mood"]
    if not known or in_english + in_swahili < KNOWN_MIN_SHARE * len(words):
        return Spoken("", mixed=False)
    least = MIXED_MIN_SHARE * len(words)
    both_listed = bool(listed["en"]) and bool(listed["sw"] + listed["sheng"])
    mixed = both_listed and min(listed["en"], in_swahili) >= least
    if in_english > in_swahili:
        return Spoken(ENGLISH, mixed)
    return Spoken(SHENG if listed["sheng"] else SWAHILI, mixed)


def _evidence(word: str, lexicon: Lexicon) -> str:
    """The list in which the word stands, or what it looks like."""
    for tag in ("sheng", "sw", "en"):
        if word in lexicon.languages[tag]:
            return tag
    is_swahili_shaped = SWAHILI_SHAPE.fullmatch(word) is not None
    if word in lexicon.sentiment.words and not is_swahili_shaped:
        return "mood"
    if _SWAHILI_VERB.fullmatch(word):
        return "verb"
    if word.endswith(lexicon.english_endings):
        return "english shape"
    return "swahili shape" if is_swahili_shaped and len(word) > 3 else ""
