"""From a text to its cues."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from quietus_edge.cues.danger import meant
from quietus_edge.cues.language import ENGLISH, language_of
from quietus_edge.cues.lexicon import Lexicon, lexicon
from quietus_edge.cues.phrases import Match
from quietus_edge.cues.sentiment import valence_of
from quietus_edge.cues.words import Words, words_of
from quietus_edge.normalise import four_decimals
from quietus_edge.predictions import TextCues

# As the contract bounds its lists.
IDENTIFIERS_MAX = 8
# The best valence of a text with a signal of danger.
IN_DANGER = -0.5

_FIRST_PERSON_VERB = re.compile(r"(?:ni(?:na|li|ta|me|nge|ki|ka|ko|po|sh)|nta|na)[a-z]{2,}[aeiou]|si[a-z]{3,}[ai]")
_NEGATIVE_VERB = re.compile(r"(?:si|ha|hatu|hawa|hu)(?:ja|ta|ku|we|na|pend|je|on)[a-z]*[aeiu]")


@dataclass(frozen=True, slots=True)
class Extraction:
    """What a text says without its words. `valence` lies in [-1, 1]; None: no word says anything of a mood."""

    cues: TextCues
    valence: float | None


def extract(text: str, using: Lexicon | None = None) -> Extraction:
    """Never raises; the same text and version give the same cues. Reads the first 65,536 characters."""
    lists = using or lexicon()
    found = words_of(text, lists.vocabulary)
    words = found.words
    spoken = language_of(words, lists)
    verbs = (_FIRST_PERSON_VERB, _NEGATIVE_VERB) if spoken.mixed or spoken.tag not in ("", ENGLISH) else (None, None)
    counted = lists.counted
    phrases = lists.phrases.find(words)
    matches = meant(phrases, found, lists)
    cues = TextCues(
        extractor_version=lists.version,
        language=spoken.tag,
        code_switching=spoken.mixed,
        deflections=_names(matches, "deflections"),
        topics=_names(matches, "topics"),
        coping=_names(matches, "coping"),
        first_person=_share(words, counted["first_person"], verbs[0], counted["no_verbs"]),
        negation=_share(words, counted["negation"], verbs[1], counted["no_verbs"]),
        absolutes=_share(words, counted["absolutes"], None, counted["no_verbs"]),
        crisis_signals=_names(matches, "crisis_signals"),
    )
    idiomatic = frozenset(
        place for match in phrases if match.kind == "idiom" for place in range(match.start, match.end)
    )
    return Extraction(cues, _valence(found, cues, idiomatic, lists))


def _valence(found: Words, cues: TextCues, idiomatic: frozenset[int], lists: Lexicon) -> float | None:
    """In a language that isn't known, none. Words of danger are never good ones ("... but thank you"); a deflection
    without a word of mood ("it's nothing") is flat.
    """
    known = cues.language or not any(word.isalpha() for word in found.words)
    valence = valence_of(found, idiomatic, lists) if known else None
    if cues.crisis_signals:
        return min(IN_DANGER, four_decimals(valence or 0.0))
    if valence is None:
        return 0.0 if cues.deflections else None
    return four_decimals(valence)


def _names(matches: Iterable[Match], kind: str) -> Sequence[str]:
    """In the order in which they are said, each once."""
    return tuple(dict.fromkeys(match.name for match in matches if match.kind == kind))[:IDENTIFIERS_MAX]


def _share(
    words: Sequence[str], listed: frozenset[str], verb: re.Pattern[str] | None, no_verbs: frozenset[str]
) -> float | None:
    if not words:
        return None
    count = sum(
        word in listed or (verb is not None and word not in no_verbs and verb.fullmatch(word) is not None)
        for word in words
    )
    return four_decimals(count / len(words))
