"""Whether a phrase of danger is meant: not when it is an idiom, denied, or about somebody else.

When in doubt it is meant. Only a plain denial right before the phrase counts ("I don't want to die"), and not when the
text goes on with "but"; "why not", "can't stop" and a denied "I don't know if" are none.
"""

from collections.abc import Iterable, Mapping, Sequence

from quietus_edge.cues.lexicon import Lexicon
from quietus_edge.cues.phrases import SPAN_MAX_WORDS, Match
from quietus_edge.cues.words import Words

REACH_WORDS = 6
# A phrase with one of these says itself whom it is about.
_SELF = frozenset(("i", "im", "me", "my", "myself", "ive", "imma", "wangu", "yangu"))


def meant(matches: Iterable[Match], text: Words, lexicon: Lexicon) -> list[Match]:
    """Of the matches, those whose words aren't part of an idiom, in one clause, and neither denied nor of others."""
    all_matches = list(matches)
    idioms = {match.start: match.end for match in sorted(all_matches) if match.kind == "idiom"}  # the longest of each
    return [
        match
        for match in all_matches
        if match.kind != "idiom" and not _is_in_one_of(idioms, match) and not _is_set_aside(match, text, lexicon)
    ]


def _is_in_one_of(idioms: Mapping[int, int], match: Match) -> bool:
    """By where they start and end."""
    return any(idioms.get(start, 0) >= match.end for start in range(match.end - SPAN_MAX_WORDS, match.start + 1))


def _is_set_aside(match: Match, text: Words, lexicon: Lexicon) -> bool:
    if match.kind == "coping":
        return _governing(match.start, text, lexicon.sentiment.turns, lexicon) is not None
    if match.kind != "crisis_signals":
        return False
    denial = lexicon.denial
    governing = _governing(match.start, text, denial.negators | denial.others, lexicon)
    if governing is None:
        return False
    if text.words[governing] in denial.negators:
        return not (_is_question(governing, text, lexicon) or _goes_on(match.end, text, lexicon))
    return _SELF.isdisjoint(text.words[match.start : match.end])


def _governing(start: int, text: Words, wanted: frozenset[str], lexicon: Lexicon) -> int | None:
    """The nearest wanted word before in the clause, with nothing but small words in between."""
    for place in range(start - 1, max(-1, start - 1 - REACH_WORDS), -1):
        if text.clauses[place] != text.clauses[start]:
            return None
        word = text.words[place]
        if word in wanted:
            return place
        if word not in lexicon.denial.between and word not in lexicon.fillers:
            return None
    return None


def _is_question(place: int, text: Words, lexicon: Lexicon) -> bool:
    return place > 0 and text.words[place - 1] in lexicon.denial.unless_before


def _goes_on(end: int, text: Words, lexicon: Lexicon) -> bool:
    following: Sequence[str] = text.words[end : end + REACH_WORDS]
    return not lexicon.denial.contrasts.isdisjoint(following)
