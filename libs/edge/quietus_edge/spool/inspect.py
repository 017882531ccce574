"""Reads a spool that another process may be using."""

import sqlite3
from contextlib import closing
from pathlib import Path

from quietus_edge.errors import EdgeError
from quietus_edge.spool.rows import Totals
from quietus_edge.spool.store import Store


def totals_of(path: Path) -> Totals:
    """EdgeError when the file is no spool."""
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            return Store(connection, 0).totals()
    except sqlite3.Error as error:
        raise EdgeError(f"{path} can't be read as a spool: {error}") from error
