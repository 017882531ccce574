"""Compares what two runs stored, and what was acknowledged with what was stored. Pure."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Row = Mapping[str, Any]
Rows = Mapping[str, Sequence[Row]]
Key = tuple[Any, ...]

MISSING = "(no row)"


@dataclass(frozen=True, slots=True)
class Difference:
    table: str
    key: Key
    column: str
    expected: Any
    actual: Any

    def __str__(self) -> str:
        key = ", ".join(map(str, self.key))
        return f"{self.table} ({key}) {self.column}: expected {self.expected!r}, found {self.actual!r}"


def compare(keys: Mapping[str, Sequence[str]], expected: Rows, actual: Rows) -> list[Difference]:
    """`keys`: the columns that tell the rows of each table apart. A row that is there twice is a difference too."""
    return [
        difference
        for table, columns in keys.items()
        for difference in _compare_table(table, columns, expected[table], actual[table])
    ]


def _compare_table(
    table: str, columns: Sequence[str], expected: Sequence[Row], actual: Sequence[Row]
) -> Iterable[Difference]:
    wanted, found = _by_key(columns, expected), _by_key(columns, actual)
    for key in sorted(wanted.keys() | found.keys(), key=str):
        one, other = wanted.get(key, []), found.get(key, [])
        if len(one) != len(other):
            yield Difference(table, key, "rows", len(one), len(other))
        elif one != other:
            yield from _compare_rows(table, key, one[0], other[0])


def _compare_rows(table: str, key: Key, expected: Row, actual: Row) -> Iterable[Difference]:
    for column in sorted(expected.keys() | actual.keys()):
        one, other = expected.get(column, MISSING), actual.get(column, MISSING)
        if one != other:
            yield Difference(table, key, column, one, other)


def _by_key(columns: Sequence[str], rows: Sequence[Row]) -> dict[Key, list[Row]]:
    found: dict[Key, list[Row]] = {}
    for row in rows:
        found.setdefault(tuple(row[column] for column in columns), []).append(row)
    return found


def not_stored_once(acknowledged: Iterable[tuple[str, Key]], stored: Iterable[tuple[str, Key]]) -> list[Difference]:
    """Both are (table, key). Whatever was acknowledged has to be stored exactly once."""
    times = Counter(stored)
    return [
        Difference(table, key, "rows", 1, times[table, key])
        for table, key in sorted(set(acknowledged), key=str)
        if times[table, key] != 1
    ]


def stored(keys: Mapping[str, Sequence[str]], rows: Rows) -> Iterator[tuple[str, Key]]:
    """(table, key) of every row."""
    for table, found in rows.items():
        for row in found:
            yield table, tuple(row[column] for column in keys[table])


def report(differences: Collection[Difference], most: int = 20) -> str:
    """The first differences, and how many there are in each table."""
    counts = Counter(difference.table for difference in differences)
    lines = [*map(str, list(differences)[:most]), ", ".join(f"{table}: {n}" for table, n in sorted(counts.items()))]
    return "\n".join(lines)
