"""Predictions: written by COPY, found by the unique key (session_id, chunk_id) in the partition of their session."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg
from sqlalchemy import Select, Table, func, select

from libs.common.db.copying import copy_rows
from libs.common.db.database import AnyRow, Transaction
from quietus_edge.ids import EPOCH
from services.ingest.content.chunk import interval
from services.ingest.grouping import ChunkKey
from services.ingest.store import rows
from services.ingest.store.pages import Page, page_of, within_bytes
from services.ingest.tables import AUDIO_PREDICTIONS, SESSIONS, TEXT_PREDICTIONS, VISION_PREDICTIONS
from services.ingest.vocabulary import Modality

TABLES = {
    Modality.VISION: VISION_PREDICTIONS,
    Modality.AUDIO: AUDIO_PREDICTIONS,
    Modality.TEXT: TEXT_PREDICTIONS,
}


# As many are read of a session that is locked: what came in the last moment, whatever the clocks of its devices.
RECENT = 100


class StoredChunk(NamedTuple):
    modality: Modality
    key: ChunkKey
    digest: bytes
    interval: bytes


class SeenBeforeError(Exception):
    """The tables know something of these chunks; nothing of the transaction may be kept."""


class MonthMadeError(Exception):
    """Rows waited for DEFAULT while their month got a partition of its own; a new transaction finds that."""


async def insert(tx: Transaction, modality: Modality, packed: Sequence[bytes]) -> None:
    """`packed` is made by store.rows. Raises SeenBeforeError, MonthMadeError."""
    try:
        await copy_rows(tx, TABLES[modality].name, rows.COLUMNS[modality], packed)
    except asyncpg.UniqueViolationError as error:
        raise SeenBeforeError from error
    except asyncpg.CheckViolationError as error:
        raise MonthMadeError from error


async def stored(tx: Transaction, keys: Mapping[Modality, Collection[ChunkKey]]) -> list[StoredChunk]:
    """What the tables hold of these chunks, each looked for in the tables of the modalities that name it."""
    if not any(keys.values()):
        return []
    ids = [[key[part].hex() for key in keys[m]] for m in Modality for part in (slice(0, 16), slice(16, 32))]
    return [
        StoredChunk(Modality(row[0]), row[1].bytes + row[2].bytes, row[3], _interval(*row[4:]))
        for row in await tx.driver.fetch(LOOK_UP, *ids)
    ]


# For each chunk a look-up by the unique key, whatever the planner believes of a new partition's size.
LOOK_UP = " UNION ALL ".join(
    f"""SELECT {modality.value}, k.session_id, k.chunk_id, p.content_digest, p.capture_start_time, p.capture_end_time
FROM unnest(${2 * number + 1}::uuid[], ${2 * number + 2}::uuid[]) AS k (session_id, chunk_id),
LATERAL (
    SELECT content_digest, capture_start_time, capture_end_time
    FROM {table.name} WHERE session_id = k.session_id AND chunk_id = k.chunk_id LIMIT 1
) AS p
"""  # noqa: S608 - names of tables of ours
    for number, (modality, table) in enumerate(TABLES.items())
)


def _interval(start: datetime, end: datetime) -> bytes:
    return interval((start - EPOCH) // EPOCH.resolution, (end - EPOCH) // EPOCH.resolution)


async def page(
    tx: Transaction, modality: Modality, session_id: UUID, after: UUID | None, limit: int, transcript_bytes: int
) -> Page[AnyRow]:
    """By chunk id: at most `limit`, and of text at most one after `transcript_bytes` of transcripts."""
    found = await tx.fetch_all(page_statement(modality, session_id, after, limit, transcript_bytes))
    if modality is Modality.TEXT:
        return page_of(found, limit)
    return Page(found[:limit], has_more=len(found) > limit)


def page_statement(
    modality: Modality, session_id: UUID, after: UUID | None, limit: int, transcript_bytes: int
) -> Select[*tuple[Any, ...]]:
    """One row more than `limit`, so that it is known whether there are more."""
    table = TABLES[modality]
    statement = _of_session(table, session_id)
    if after is not None:
        statement = statement.where(table.c.chunk_id > after)
    statement = statement.order_by(table.c.chunk_id).limit(limit + 1)
    if modality is not Modality.TEXT:
        return statement
    return within_bytes(statement, "transcript", ["chunk_id"], transcript_bytes, newest_first=False)


async def of_session(tx: Transaction, modality: Modality, session_id: UUID) -> Sequence[AnyRow]:
    return await tx.fetch_all(_of_session(TABLES[modality], session_id))


def _of_session(table: Table, session_id: UUID) -> Select[*tuple[Any, ...]]:
    """`late`: whether it was received after the session's end; NULL while there is none."""
    end = select(SESSIONS.c.end_receive_time).where(SESSIONS.c.id == session_id).scalar_subquery()
    return select(table, (table.c.receive_time > end).label("late")).where(table.c.session_id == session_id)


async def newest_capture(tx: Transaction, session_id: UUID) -> datetime | None:
    """End of the newest window of a session; reads all its predictions."""
    newest: datetime | None = await tx.driver.fetchval(NEWEST_CAPTURE.format(recent=""), session_id)
    return newest


async def recent_capture(tx: Transaction, session_id: UUID) -> datetime | None:
    """Of the RECENT predictions of each modality that have the newest chunk ids."""
    await walk_indexes(tx)
    newest: datetime | None = await tx.driver.fetchval(NEWEST_CAPTURE.format(recent=BY_NEWEST_CHUNK), session_id)
    return newest


async def walk_indexes(tx: Transaction) -> None:
    """Until the transaction's end what is asked for in the order of an index is read by it: of a new partition the
    planner believes that it is small, and would read and sort a whole session.
    """
    await tx.driver.execute("SELECT set_config('enable_sort', 'off', true)")


BY_NEWEST_CHUNK = f"ORDER BY chunk_id DESC LIMIT {RECENT}"
NEWEST_CAPTURE = f"""SELECT max(capture_end_time) FROM ({
    " UNION ALL ".join(
        f"(SELECT capture_end_time FROM {table.name} WHERE session_id = $1 {{recent}})" for table in TABLES.values()
    )
}) AS newest"""  # noqa: S608 - names of tables of ours


async def count(tx: Transaction, session_id: UUID) -> dict[Modality, int]:
    columns = [
        select(func.count()).select_from(table).where(table.c.session_id == session_id).scalar_subquery()
        for table in TABLES.values()
    ]
    row = await tx.fetch_one(select(*columns))
    assert row is not None
    return dict(zip(TABLES, row, strict=True))
