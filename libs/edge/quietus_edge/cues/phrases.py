"""Finds many phrases in a text at once.

A phrase is words, with {a|b c} for one of several (nothing among them: may be missing) and <name> for one of a set,
also inside of a word: sister{s|}. Each becomes a small graph whose edges are words; fillers may stand between words.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product

# No more words lie between the start and the end of a match: the work is bounded by the words times this.
SPAN_MAX_WORDS = 12

_ELEMENT = re.compile(r"(?:[^\s{}<>]|\{[^{}]*\}|<\w+>)+")
_PART = re.compile(r"\{([^{}]*)\}|<(\w+)>|([^\s{}<>]+)")

Sets = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True, order=True)
class Match:
    """Words from `start` up to, without, `end`."""

    end: int
    start: int
    kind: str
    name: str


@dataclass(slots=True, eq=False)
class _Node:
    """`past` is the same place after a filler: what was found there was told before."""

    edges: dict[str, list["_Node"]] = field(default_factory=dict)
    found: tuple[str, str] | None = None
    past: "_Node | None" = None


class Phrases:
    def __init__(self, fillers: frozenset[str]) -> None:
        self._fillers = fillers
        self._starts: dict[str, list[_Node]] = {}
        self.vocabulary: set[str] = set()

    def add(self, kind: str, name: str, phrases: Iterable[str], sets: Sets) -> None:
        """ValueError for a phrase that can't be read, or that could be empty."""
        for phrase in phrases:
            self._add(phrase, kind, name, sets)

    def find(self, words: Sequence[str]) -> list[Match]:
        """By their ends; phrases may overlap."""
        matches: set[Match] = set()
        for start, word in enumerate(words):
            active: Sequence[_Node] = self._starts.get(word, ())
            for end in range(start + 1, min(start + SPAN_MAX_WORDS, len(words)) + 1):
                matches.update(Match(end, start, *node.found) for node in active if node.found)
                if end == len(words):
                    break
                active = self._after(active, words[end])
                if not active:
                    break
        return sorted(matches)

    def _after(self, active: Sequence[_Node], word: str) -> Sequence[_Node]:
        """Each place once, by however many ways it was reached: never more than the phrases have words."""
        moved = [after for node in active for after in node.edges.get(word, ())]
        if word in self._fillers:
            moved += [node.past or node for node in active if node.edges]
        return list(dict.fromkeys(moved)) if len(moved) > 1 else moved

    def _add(self, phrase: str, kind: str, name: str, sets: Sets) -> None:
        root = _Node()
        frontier = [root]
        for step in [_alternatives(element, sets) for element in _elements(phrase)]:
            join = _Node()
            for node in frontier:
                for words in step:
                    _lead(node, words, join)
            frontier = [join, *frontier] if () in step else [join]
            self.vocabulary.update(word for words in step for word in words)
        if root in frontier:
            raise ValueError(f"{phrase!r} could be empty")
        for node in frontier:
            node.found = (kind, name)
            node.past = _Node(node.edges)
        for word, nodes in root.edges.items():
            self._starts.setdefault(word, []).extend(nodes)


def _lead(node: _Node, words: Sequence[str], join: _Node) -> None:
    for word in words[:-1]:
        after = _Node()
        node.edges.setdefault(word, []).append(after)
        node = after
    for word in words[-1:]:
        node.edges.setdefault(word, []).append(join)


def _elements(phrase: str) -> list[str]:
    elements = _ELEMENT.findall(phrase)
    if _ELEMENT.sub("", phrase).strip():
        raise ValueError(f"{phrase!r} can't be read")
    return elements


def _alternatives(element: str, sets: Sets) -> list[tuple[str, ...]]:
    parts: list[Sequence[str]] = []
    for one_of, name, letters in _PART.findall(element):
        if name:
            parts.append([wording for entry in sets[name] for wording in _wordings(entry)])
        else:
            parts.append([letters] if letters else one_of.split("|"))
    return list(dict.fromkeys(tuple("".join(choice).split()) for choice in product(*parts)))


def _wordings(entry: str) -> Iterable[str]:
    """An entry of a set may itself say {a|b}."""
    steps = [_alternatives(element, {}) for element in _elements(entry)]
    return (" ".join(word for words in choice for word in words) for choice in product(*steps))
