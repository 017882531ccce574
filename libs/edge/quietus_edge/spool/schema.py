"""The spool's tables. Rows have checksums: SQLite sees when its structure is damaged, not when its content is."""

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from functools import lru_cache
from zlib import crc32

VERSION = 2
# What the checksum of a row is made of.
CHECKED: Mapping[str, tuple[str, ...]] = {
    "sessions": (
        "session_key",
        "session_id",
        "start_us",
        "end_us",
        "last_capture_us",
        "skew_us",
        "started",
        "next_batch_number",
    ),
    "records": ("record_key", "session_key", "batch_number", "danger", "predictions", "content"),
    "facts": ("name", "value"),
}
_TABLES = """
CREATE TABLE sessions (
    session_key INTEGER PRIMARY KEY,
    session_id TEXT NOT NULL UNIQUE,
    start_us INTEGER NOT NULL,
    end_us INTEGER,
    last_capture_us INTEGER NOT NULL,
    skew_us INTEGER,
    started INTEGER NOT NULL DEFAULT 0,
    next_batch_number INTEGER NOT NULL DEFAULT 1,
    checksum INTEGER
) STRICT;
CREATE TABLE records (
    record_key INTEGER PRIMARY KEY,
    session_key INTEGER NOT NULL REFERENCES sessions (session_key) ON DELETE CASCADE,
    batch_number INTEGER,
    danger INTEGER NOT NULL,
    predictions INTEGER NOT NULL,
    content BLOB NOT NULL,
    checksum INTEGER
) STRICT;
CREATE INDEX records_by_batch ON records (session_key, batch_number);
CREATE INDEX records_to_drop ON records (record_key) WHERE batch_number IS NULL AND danger = 0;
CREATE TABLE counters (
    name TEXT NOT NULL,
    reason TEXT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (name, reason)
) STRICT;
CREATE TABLE facts (name TEXT PRIMARY KEY, value BLOB NOT NULL, checksum INTEGER) STRICT;
"""
_TRIGGERS = """
CREATE TRIGGER {table}_added AFTER INSERT ON {table} BEGIN
    UPDATE {table} SET checksum = row_checksum({new}) WHERE rowid = NEW.rowid;
END;
CREATE TRIGGER {table}_changed AFTER UPDATE OF {columns} ON {table} BEGIN
    UPDATE {table} SET checksum = row_checksum({new}) WHERE rowid = NEW.rowid;
END;
"""


def prepare(connection: sqlite3.Connection) -> None:
    """Teaches a connection how rows are checked."""
    connection.create_function("row_checksum", -1, _checksum, deterministic=True)
    connection.execute("PRAGMA trusted_schema = ON")  # or triggers may not call it


def create(connection: sqlite3.Connection) -> None:
    """In one transaction."""
    triggers = "".join(
        _TRIGGERS.format(table=table, columns=", ".join(columns), new=", ".join(f"NEW.{column}" for column in columns))
        for table, columns in CHECKED.items()
    )
    connection.executescript(f"BEGIN; {_TABLES} {triggers} PRAGMA user_version = {VERSION}; COMMIT;")


def version(connection: sqlite3.Connection) -> int:
    """0 for a file that is new."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def is_whole(table: str) -> str:
    """SQL that is 1 for a row of the table as it was written."""
    return f"checksum IS row_checksum({', '.join(CHECKED[table])})"


def is_sound(connection: sqlite3.Connection) -> bool:
    """Looks at everything. sqlite3.DatabaseError when not even that can be done."""
    if connection.execute("PRAGMA integrity_check(1)").fetchone() != ("ok",):
        return False
    if version(connection) != VERSION:
        return True
    # A statement of the schema that was damaged may still be a statement.
    return _statements(connection) == _intended() and not any(
        connection.execute(f"SELECT 1 FROM {table} WHERE NOT ({is_whole(table)}) LIMIT 1").fetchone()  # noqa: S608
        for table in CHECKED
    )


def _statements(connection: sqlite3.Connection) -> list[tuple[str, str | None]]:
    return connection.execute("SELECT name, sql FROM sqlite_schema ORDER BY name").fetchall()


@lru_cache(maxsize=1)
def _intended() -> list[tuple[str, str | None]]:
    with closing(sqlite3.connect(":memory:")) as connection:
        prepare(connection)
        create(connection)
        return _statements(connection)


def _checksum(*values: int | str | bytes | None) -> int:
    found = 0
    for value in values:
        found = crc32(value if isinstance(value, bytes) else str(value).encode(), crc32(b"\0", found))
    return found
