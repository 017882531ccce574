"""Posts of people whose danger an expert judged by the Columbia scale (Gaur et al. 2019, CC BY 4.0).

Only figures leave this module; no text is printed, logged or kept.
"""

import ast
import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quietus_edge.cues import extract, lexicon

LEVELS = ("Supportive", "Indicator", "Ideation", "Behavior", "Attempt")
AT_RISK = ("Ideation", "Behavior", "Attempt")
CRITICAL = frozenset(("active_ideation", "plan_or_intent", "self_harm", "farewell"))
_LARGEST_FIELD = 2**27


@dataclass(frozen=True)
class Person:
    level: str
    posts: Sequence[str]


def load(path: Path) -> Sequence[Person]:
    csv.field_size_limit(_LARGEST_FIELD)
    with path.open(newline="") as file:
        return [Person(row["Label"], _posts(row["Post"])) for row in csv.DictReader(file)]


def _posts(field: str) -> Sequence[str]:
    """A field that can't be read as a list is one post."""
    try:
        return [str(post) for post in ast.literal_eval(field)]
    except (SyntaxError, ValueError):
        return [field]


def figures(path: Path) -> Mapping[str, Any]:
    """By person, over all posts; and by post. `critical`: a signal that alone makes a chunk critical."""
    people = load(path)
    found = [[frozenset(extract(post).cues.crisis_signals) for post in person.posts] for person in people]
    of_level = {
        level: [posts for person, posts in zip(people, found, strict=True) if person.level == level] for level in LEVELS
    }
    at_risk = [posts for level in AT_RISK for posts in of_level[level]]
    return {
        "extractor_version": lexicon().version,
        "people": len(people),
        "posts": sum(len(posts) for posts in found),
        "levels": {level: _shares(of_level[level]) for level in LEVELS},
        "recall_at_risk": _shares(at_risk)["any_signal"],
        "critical_recall_at_risk": _shares(at_risk)["critical_signal"],
        "false_alarms_supportive": _shares(of_level["Supportive"])["any_signal"],
        "critical_false_alarms_supportive": _shares(of_level["Supportive"])["critical_signal"],
    }


def _shares(people: Sequence[Sequence[frozenset[str]]]) -> Mapping[str, float]:
    posts = [signals for person in people for signals in person]
    return {
        "people": len(people),
        "any_signal": _share([any(person) for person in people]),
        "critical_signal": _share([any(signals & CRITICAL for signals in person) for person in people]),
        "posts": len(posts),
        "posts_any_signal": _share([bool(signals) for signals in posts]),
        "posts_critical_signal": _share([bool(signals & CRITICAL) for signals in posts]),
    }


def _share(found: Sequence[bool]) -> float:
    return round(sum(found) / max(1, len(found)), 3)
