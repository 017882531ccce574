"""Fills ingest's prediction tables by binary COPY: rows that ingest itself wrote, under the keys of other sessions.

Sessions that run at the same time are written in turns, so that the rows of one lie as far apart as they would.
"""

import struct
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import numpy as np
from numpy.typing import NDArray

from libs.common.db.copying import HEADER, TRAILER
from quietus_edge.ids import EPOCH, uuid7

TABLES = ("vision_predictions", "audio_predictions", "text_predictions")
WINDOW = timedelta(seconds=5)
TEMPLATES = 96
SESSIONS_AT_ONCE = 48
CHUNKS_IN_BATCH = 10

# Of fixed width in every row, and first, so that they are always in the same place.
_KEYS = (
    "session_id",
    "user_id",
    "id",
    "chunk_id",
    "capture_start_time",
    "capture_end_time",
    "receive_time",
    "batch_number",
    "batch_index",
)
_LENGTH = struct.Struct(">i")
_EPOCH_2000_MICROSECONDS = (datetime(2000, 1, 1, tzinfo=UTC) - EPOCH) // EPOCH.resolution
_SESSION = """
INSERT INTO ingest.sessions (id, user_id, status, started_at, ended_at, receive_time, end_receive_time, end_cause)
VALUES ($1, $2, 'ENDED', $3, $4, $3, $4, 'BY_WORD')
"""
_COLUMNS = """
SELECT attname FROM pg_attribute WHERE attrelid = CAST('ingest.' || $1 AS regclass) AND attnum > 0 AND NOT attisdropped
"""

Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class FilledSession:
    """Each of its chunks has a prediction of every modality."""

    session_id: UUID
    user_id: UUID = field(repr=False)
    start_time: datetime


def spread(user_ids: Sequence[UUID], count: int, first: datetime, last: datetime) -> list[FilledSession]:
    """Sessions that start evenly from `first` to `last`, of each person in turn."""
    starts = [first + (last - first) * number / count for number in range(count)]
    return [FilledSession(uuid7(start), user_ids[n % len(user_ids)], start) for n, start in enumerate(starts)]


def split_rows(copied: bytes) -> list[bytes]:
    """The rows of a binary COPY, each with its count of fields."""
    at, rows = len(HEADER) + _LENGTH.unpack_from(copied, len(HEADER) - 4)[0], []
    while (count := struct.unpack_from(">h", copied, at)[0]) >= 0:
        end = at + 2
        for _ in range(count):
            end += _LENGTH.size + max(_LENGTH.unpack_from(copied, end)[0], 0)
        rows.append(copied[at:end])
        at = end
    return rows


class Template:
    """Rows of one table. `columns` name their fields: the keys, then the others as they are."""

    def __init__(self, table: str, columns: Sequence[str], rows: Sequence[bytes]) -> None:
        self.table = table
        self.columns = columns
        [(length, _)] = Counter(map(len, rows)).most_common(1)
        alike = [row for row in rows if len(row) == length]
        self._rows = np.frombuffer(b"".join(alike), np.uint8).reshape(len(alike), length)
        self._places: dict[str, slice] = {}
        at = 2
        for key in _KEYS:
            width = _LENGTH.unpack_from(alike[0], at)[0]
            self._places[key] = slice(at + _LENGTH.size, at + _LENGTH.size + width)
            at += _LENGTH.size + width

    @classmethod
    async def read(cls, connection: "asyncpg.Connection[Any]", table: str) -> "Template":
        """From a table that has rows."""
        others = [row[0] for row in await connection.fetch(_COLUMNS, table) if row[0] not in _KEYS]
        columns = (*_KEYS, *others)
        copied = bytearray()

        async def take(data: bytes) -> None:
            copied.extend(data)

        query = f"SELECT {', '.join(columns)} FROM ingest.{table} LIMIT {TEMPLATES}"  # noqa: S608 - a table of ours
        await connection.copy_from_query(query, output=take, format="binary")
        return cls(table, columns, split_rows(bytes(copied)))

    def rows(self, sessions: Sequence[FilledSession], chunks: int) -> Bytes:
        """[chunks * sessions, bytes of a row]: the first chunk of every session, then the second."""
        count = chunks * len(sessions)
        rows = self._rows[np.arange(count) % len(self._rows)]
        number = np.repeat(np.arange(chunks), len(sessions))
        session_ids = _ids([session.session_id for session in sessions], chunks)
        chunk_ids = session_ids.copy()
        chunk_ids[:, 10:] = _integers(number, 8)[:, 2:]
        starts = np.tile([(session.start_time - EPOCH) // EPOCH.resolution for session in sessions], chunks)
        window = WINDOW // EPOCH.resolution
        start = starts - _EPOCH_2000_MICROSECONDS + number * window
        for key, values in {
            "session_id": session_ids,
            "user_id": _ids([session.user_id for session in sessions], chunks),
            "id": chunk_ids,
            "chunk_id": chunk_ids,
            "capture_start_time": _integers(start, 8),
            "capture_end_time": _integers(start + window, 8),
            "receive_time": _integers(start + window, 8),
            "batch_number": _integers(number // CHUNKS_IN_BATCH + 1, 8),
            "batch_index": _integers(number % CHUNKS_IN_BATCH * 3 + TABLES.index(self.table), 2),
        }.items():
            rows[:, self._places[key]] = values
        return rows


async def add_sessions(connection: "asyncpg.Connection[Any]", sessions: Sequence[FilledSession], chunks: int) -> None:
    """Before their predictions."""
    rows = [(one.session_id, one.user_id, one.start_time, one.start_time + chunks * WINDOW) for one in sessions]
    await connection.executemany(_SESSION, rows)


async def add_predictions(
    connection: "asyncpg.Connection[Any]", template: Template, sessions: Sequence[FilledSession], chunks: int
) -> int:
    """How many rows they are. As a superuser: their sessions are there, so foreign keys are not checked row by row."""
    await connection.execute("SET session_replication_role = replica")
    rows = template.rows(sessions, chunks)
    await connection.copy_to_table(
        template.table, schema_name="ingest", columns=template.columns, source=_copy_data(rows), format="binary"
    )
    return len(rows)


async def _copy_data(rows: Bytes) -> AsyncIterator[bytes]:
    yield HEADER
    yield rows.tobytes()
    yield TRAILER


def _ids(ids: Sequence[UUID], repeats: int) -> Bytes:
    return np.tile(np.frombuffer(b"".join(one.bytes for one in ids), np.uint8).reshape(-1, 16), (repeats, 1))


def _integers(values: NDArray[Any], width: int) -> Bytes:
    """Big-endian."""
    return np.ascontiguousarray(values, dtype=f">i{width}").view(np.uint8).reshape(len(values), width)
