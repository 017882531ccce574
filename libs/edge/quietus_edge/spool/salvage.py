"""Takes what is whole out of a broken spool."""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from quietus_edge.spool.schema import CHECKED, is_whole, prepare

# Of numbers between the first and the last damage that are asked for one by one.
MOST_LOOK_UPS = 200_000

# SQLite's words for damage may not even be text.
DAMAGED = (sqlite3.DatabaseError, UnicodeDecodeError)

Row = tuple[Any, ...]


def salvage(broken: Path, into: sqlite3.Connection) -> None:
    """Copies what is whole into an empty spool: sessions, their records, and facts.

    Records of a session that is lost can't be sent. Where the facts are damaged and don't say whose spool it was,
    nothing is taken, lest it be sent as another person's.
    """
    facts: list[Row] = []
    sessions: list[Row] = []
    records: list[Row] = []
    facts_are_whole = False
    with closing(sqlite3.connect(broken)) as found, suppress(*DAMAGED):
        prepare(found)
        found.execute("PRAGMA writable_schema = ON")  # reads a file that is shorter than it says
        facts, facts_are_whole = _read(found, "facts")
        sessions, _ = _read(found, "sessions")
        records, _ = _read(found, "records")
    if not facts_are_whole and "user_id" not in {fact[0] for fact in facts}:
        return
    keys = {session[0] for session in sessions}
    into.execute("BEGIN")
    _insert(into, "facts", facts)
    _insert(into, "sessions", sessions)
    _insert(into, "records", [record for record in records if record[1] in keys])
    into.execute("COMMIT")


def _insert(into: sqlite3.Connection, table: str, rows: Iterable[Row]) -> None:
    columns = CHECKED[table]
    places = ", ".join("?" * len(columns))
    into.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places})", rows)  # noqa: S608


def _read(found: sqlite3.Connection, table: str) -> tuple[list[Row], bool]:
    """Rows that are whole, by number, and whether all are: from either end to the first damage, then one by one."""
    rows: dict[int, Row] = {}
    damaged = False
    ends: list[int] = []
    for order in ("ASC", "DESC"):
        last = 0
        try:
            for number, row, whole in _select(found, table, f"ORDER BY rowid {order}"):
                if order == "DESC" and number <= ends[0]:
                    break
                last = number
                if whole:
                    rows[number] = row
                damaged |= not whole
            else:
                if order == "ASC":
                    return list(rows.values()), not damaged
        except DAMAGED:
            damaged = True
        ends.append(last)
    first, last = ends
    for number in range(first + 1, min(last, first + MOST_LOOK_UPS)):
        with suppress(*DAMAGED):
            rows |= {number: row for number, row, whole in _select(found, table, "WHERE rowid = ?", number) if whole}
    return [rows[number] for number in sorted(rows)], False


def _select(found: sqlite3.Connection, table: str, clause: str, *values: int) -> Iterator[tuple[int, Row, bool]]:
    columns = ", ".join(CHECKED[table])
    for number, whole, *row in found.execute(
        f"SELECT rowid, {is_whole(table)}, {columns} FROM {table} NOT INDEXED {clause}",  # noqa: S608
        values,
    ):
        yield number, tuple(row), bool(whole)
