"""The spool's file: one process at a time, readable by its owner alone, checked before it is trusted."""

import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from quietus_edge.errors import EdgeError, SpoolLockedError

SCHEMA_VERSION = 1
SCHEMA = """
CREATE TABLE sessions (
    session_key INTEGER PRIMARY KEY,
    session_id TEXT NOT NULL UNIQUE,
    start_us INTEGER NOT NULL,
    end_us INTEGER,
    last_capture_us INTEGER NOT NULL,
    skew_us INTEGER,
    started INTEGER NOT NULL DEFAULT 0,
    next_batch_number INTEGER NOT NULL DEFAULT 1
) STRICT;
CREATE TABLE records (
    record_key INTEGER PRIMARY KEY,
    session_key INTEGER NOT NULL REFERENCES sessions (session_key) ON DELETE CASCADE,
    batch_number INTEGER,
    danger INTEGER NOT NULL,
    predictions INTEGER NOT NULL,
    content BLOB NOT NULL
) STRICT;
CREATE INDEX records_by_batch ON records (session_key, batch_number);
CREATE INDEX records_to_drop ON records (record_key) WHERE batch_number IS NULL AND danger = 0;
CREATE TABLE counters (
    name TEXT NOT NULL,
    reason TEXT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (name, reason)
) STRICT;
CREATE TABLE facts (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT;
"""
WAL_LIMIT_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True)
class OpenFile:
    """A checked file. `moved_aside` is where a broken one went, if there was one."""

    connection: sqlite3.Connection
    lock: sqlite3.Connection
    moved_aside: Path | None

    def close(self) -> None:
        self.connection.close()
        self.lock.close()


def open_file(path: Path) -> OpenFile:
    """SpoolLockedError while another process has it; EdgeError when it can't be opened at all."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))  # SQLite gives its log the same rights
        lock = _lock(path)
    except (OSError, sqlite3.Error) as error:
        raise EdgeError(f"the spool {path} can't be opened: {error}") from error
    try:
        moved_aside = None if _is_sound(path) else _move_aside(path)
        return OpenFile(_connect(path), lock, moved_aside)
    except (OSError, sqlite3.Error) as error:
        lock.close()
        raise EdgeError(f"the spool {path} can't be opened: {error}") from error
    except BaseException:
        lock.close()
        raise


def _lock(path: Path) -> sqlite3.Connection:
    """An exclusive transaction on a file beside the spool: the system frees it however the process dies."""
    lock = sqlite3.connect(f"{path}.lock", isolation_level=None, timeout=0, check_same_thread=False)
    try:
        lock.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError as error:
        lock.close()
        if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
            raise
        raise SpoolLockedError(f"another process uses the spool {path}") from error
    return lock


def _is_sound(path: Path) -> bool:
    try:
        with closing(sqlite3.connect(path)) as connection:
            return bool(connection.execute("PRAGMA quick_check(1)").fetchone() == ("ok",))
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode & 0xFF in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
            return False
        raise


def _move_aside(path: Path) -> Path:
    target = path.with_name(f"{path.name}.broken-{datetime.now(UTC):%Y%m%dT%H%M%S%f}")
    for suffix in ("", "-wal", "-shm"):
        part = Path(f"{path}{suffix}")
        if part.exists():
            part.rename(f"{target}{suffix}")
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    return target


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    # NORMAL loses the last commits when the battery dies. record() has promised by then, so each commit is synced.
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    # What was acknowledged doesn't linger in free pages of a device that may be lost.
    connection.execute("PRAGMA secure_delete = ON")
    connection.execute(f"PRAGMA journal_size_limit = {WAL_LIMIT_BYTES}")
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version == 0:
        connection.executescript(f"BEGIN; {SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")
    elif version != SCHEMA_VERSION:
        connection.close()
        raise EdgeError(f"the spool {path} was made by another version of quietus-edge")
    return connection
