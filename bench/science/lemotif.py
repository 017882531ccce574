"""Lemotif: diary entries with their writers' own labels of 18 feelings and 11 topics (MIT licence)."""

import csv
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

POSITIVE = ("calm", "excited", "happy", "proud", "satisfied")
# The rest of the feelings are neither.
NEGATIVE = frozenset(
    (
        "afraid",
        "angry",
        "anxious",
        "ashamed",
        "awkward",
        "bored",
        "confused",
        "disgusted",
        "frustrated",
        "jealous",
        "sad",
    )
)
# A run of words that so few entries share is a habit of one writer rather than of the language.
SHARED_WORDS, SHARED_MAX_ENTRIES = 5, 3


@dataclass(frozen=True)
class Entry:
    """`is_positive` is None where the writer felt both, or neither."""

    text: str
    is_positive: bool | None
    topics: frozenset[str]
    writer: int


def load(path: Path) -> Sequence[Entry]:
    """The file names no writer and is sorted by text, so writers are guessed: entries that share a run of five
    that at most three entries share are taken for one writer's.
    """
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    writers = _writers([row["entry"] for row in rows])
    return [
        Entry(
            row["entry"],
            _is_positive({name.removeprefix("feels_") for name, said in row.items() if said == "TRUE"}),
            frozenset(name.removeprefix("about_") for name, said in row.items() if said == "TRUE"),
            writer,
        )
        for row, writer in zip(rows, writers, strict=True)
    ]


def checksum(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()


def _is_positive(labels: Iterable[str]) -> bool | None:
    good, bad = not set(POSITIVE).isdisjoint(labels), not NEGATIVE.isdisjoint(labels)
    return None if good == bad else good


def _writers(texts: Sequence[str]) -> Sequence[int]:
    sharing: dict[tuple[str, ...], set[int]] = defaultdict(set)
    for number, text in enumerate(texts):
        words = re.findall(r"[a-z']+", text.lower())
        for start in range(len(words) - SHARED_WORDS + 1):
            sharing[tuple(words[start : start + SHARED_WORDS])].add(number)
    writer = list(range(len(texts)))

    def first(number: int) -> int:
        while writer[number] != number:
            number = writer[number]
        return number

    for numbers in sharing.values():
        if 1 < len(numbers) <= SHARED_MAX_ENTRIES:
            least, *others = sorted(map(first, numbers))
            for other in others:
                writer[other] = least
    return [first(number) for number in range(len(texts))]
