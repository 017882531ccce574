"""Predictions: written by COPY, found by the unique key (session_id, chunk_id) in the partition of their session."""

from collections.abc import AsyncIterator, Collection, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import asyncpg
from sqlalchemy import func, select

from libs.common.db.database import AnyRow, Transaction
from quietus_edge.ids import EPOCH
from services.ingest.content import Modality
from services.ingest.grouping import ChunkKey, Interval
from services.ingest.store import rows
from services.ingest.tables import AUDIO_PREDICTIONS, SCHEMA, TEXT_PREDICTIONS, VISION_PREDICTIONS

TABLES = {
    Modality.VISION: VISION_PREDICTIONS,
    Modality.AUDIO: AUDIO_PREDICTIONS,
    Modality.TEXT: TEXT_PREDICTIONS,
}
_COLUMNS = {
    Modality.VISION: rows.VISION_COLUMNS,
    Modality.AUDIO: rows.AUDIO_COLUMNS,
    Modality.TEXT: rows.TEXT_COLUMNS,
}


class StoredChunk(NamedTuple):
    key: ChunkKey
    digest: bytes
    interval: Interval


class SeenBeforeError(Exception):
    """The tables know something of these chunks; nothing of the transaction may be kept."""


async def insert(tx: Transaction, modality: Modality, packed: Sequence[bytes]) -> None:
    """`packed` is made by store.rows."""
    try:
        await tx.driver.copy_to_table(
            TABLES[modality].name,
            schema_name=SCHEMA,
            columns=_COLUMNS[modality],
            source=_chunks(packed),
            format="binary",
        )
    except asyncpg.UniqueViolationError as error:
        raise SeenBeforeError from error


async def _chunks(packed: Sequence[bytes]) -> AsyncIterator[bytes]:
    for part in rows.copy_data(packed):
        yield part


async def stored(tx: Transaction, modality: Modality, keys: Collection[ChunkKey]) -> list[StoredChunk]:
    if not keys:
        return []
    found = await tx.driver.fetch(
        _STORED.format(table=TABLES[modality].name), [key[:16].hex() for key in keys], [key[16:].hex() for key in keys]
    )
    return [
        StoredChunk(session_id.bytes + chunk_id.bytes, digest, (_microseconds(start), _microseconds(end)))
        for session_id, chunk_id, digest, start, end in found
    ]


# A look-up by the unique key for each chunk, whatever the planner believes of a new partition's size.
_STORED = """
SELECT k.session_id, k.chunk_id, p.content_digest, p.capture_start_time, p.capture_end_time
FROM unnest($1::uuid[], $2::uuid[]) AS k (session_id, chunk_id),
LATERAL (
    SELECT content_digest, capture_start_time, capture_end_time
    FROM {table} WHERE session_id = k.session_id AND chunk_id = k.chunk_id LIMIT 1
) AS p
"""


def _microseconds(time: datetime) -> int:
    return (time - EPOCH) // EPOCH.resolution


async def page(
    tx: Transaction, modality: Modality, session_id: UUID, after: UUID | None, limit: int
) -> Sequence[AnyRow]:
    """By chunk id."""
    table = TABLES[modality]
    statement = select(table).where(table.c.session_id == session_id)
    if after is not None:
        statement = statement.where(table.c.chunk_id > after)
    return await tx.fetch_all(statement.order_by(table.c.chunk_id).limit(limit))


async def of_session(tx: Transaction, modality: Modality, session_id: UUID) -> Sequence[AnyRow]:
    table = TABLES[modality]
    return await tx.fetch_all(select(table).where(table.c.session_id == session_id))


async def count(tx: Transaction, session_id: UUID) -> dict[Modality, int]:
    columns = [
        select(func.count()).select_from(table).where(table.c.session_id == session_id).scalar_subquery()
        for table in TABLES.values()
    ]
    row = await tx.fetch_one(select(*columns))
    assert row is not None
    return dict(zip(TABLES, row, strict=True))
