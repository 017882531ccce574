"""The spool's file: one process at a time, readable by its owner alone, checked before it is trusted."""

import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from quietus_edge.errors import EdgeError, SpoolLockedError
from quietus_edge.spool import schema
from quietus_edge.spool.mark import Mark
from quietus_edge.spool.salvage import salvage

# The last one: tables are no longer there, or hold what isn't even text.
DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR})
SUFFIXES = ("", "-wal", "-shm")
WAL_LIMIT_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True)
class OpenFile:
    """A checked file. `moved_aside` is where a broken one went, if there was one; what was whole in it is here."""

    connection: sqlite3.Connection
    lock: sqlite3.Connection
    mark: Mark
    moved_aside: Path | None

    def close(self) -> None:
        self.connection.close()
        self.lock.close()


def open_file(path: Path) -> OpenFile:
    """SpoolLockedError while another process has it; EdgeError when it can't be opened at all."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = _lock(path)
    except (OSError, sqlite3.Error) as error:
        raise EdgeError(f"the spool {path} can't be opened: {error}") from error
    try:
        if _salvaged(path).exists() and not path.exists():  # its salvage was interrupted when it was done
            _salvaged(path).rename(path)
        mark = Mark(path)
        _make_private(path)
        moved_aside = None if _is_sound(path) else _renew(path)
        return OpenFile(_connect(path), lock, mark, moved_aside)
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
            schema.prepare(connection)
            return schema.is_sound(connection)
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode & 0xFF in DAMAGED:
            return False
        raise
    except UnicodeDecodeError:  # SQLite names what it doesn't understand
        return False


def _renew(path: Path) -> Path:
    """Puts what is whole in a broken file in its place. Where the broken one went."""
    salvaged = _salvaged(path)
    for suffix in SUFFIXES:
        Path(f"{salvaged}{suffix}").unlink(missing_ok=True)
    _make_private(salvaged)
    with closing(_connect(salvaged)) as connection:
        salvage(path, connection)
    moved_to = _move_aside(path)
    salvaged.rename(path)
    return moved_to


def _salvaged(path: Path) -> Path:
    return path.with_name(f"{path.name}.salvaged")


def _make_private(path: Path) -> None:
    """SQLite gives its log the same rights."""
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))


def _move_aside(path: Path) -> Path:
    target = path.with_name(f"{path.name}.broken-{datetime.now(UTC):%Y%m%dT%H%M%S%f}")
    for suffix in SUFFIXES:
        part = Path(f"{path}{suffix}")
        if part.exists():
            part.rename(f"{target}{suffix}")
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
    schema.prepare(connection)
    found = schema.version(connection)
    if found == 0:
        schema.create(connection)
    elif found != schema.VERSION:
        connection.close()
        raise EdgeError(f"the spool {path} was made by another version of quietus-edge")
    return connection
