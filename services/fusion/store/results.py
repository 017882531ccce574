"""fusion_results. Reads within a session go by idx_fusion_results_capture, of one chunk by the key (session_id,
chunk_id).
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

import asyncpg

from libs.common.db.copying import copy_rows
from libs.common.db.database import Transaction
from services.fusion.columns import FusedParts
from services.fusion.fold import ChangedResult, ChunkResult, Standing
from services.fusion.records import PageKey
from services.fusion.science.session_state import JUDGED_CHUNKS, Judged
from services.fusion.store.packed_results import packed
from services.fusion.store.result_rows import COLUMNS, result_in
from services.fusion.vocabulary import Direction

# A place in the order of a session's chunks: session_id, capture_end_time, chunk_id.
Place = tuple[UUID, datetime, UUID]
SessionChanges = tuple[UUID, UUID, Sequence[ChangedResult]]  # session_id, user_id

_FROM = """
SELECT r.* FROM unnest($1::uuid[], $2::timestamptz[], $3::uuid[]) AS wanted (session_id, capture_end_time, chunk_id)
JOIN fusion_results r ON r.session_id = wanted.session_id
    AND (r.capture_end_time, r.chunk_id) >= (wanted.capture_end_time, wanted.chunk_id)
ORDER BY r.session_id, r.capture_end_time, r.chunk_id
"""
_BEFORE = """
SELECT r.* FROM unnest($1::uuid[], $2::timestamptz[], $3::uuid[]) AS wanted (session_id, capture_end_time, chunk_id)
CROSS JOIN LATERAL (
    SELECT * FROM fusion_results r WHERE r.session_id = wanted.session_id
        AND (r.capture_end_time, r.chunk_id) < (wanted.capture_end_time, wanted.chunk_id)
    ORDER BY r.capture_end_time DESC, r.chunk_id DESC LIMIT 1
) r
"""
_JUDGED_BEFORE = """
SELECT r.* FROM unnest($1::uuid[], $2::timestamptz[], $3::uuid[]) AS wanted (session_id, capture_end_time, chunk_id)
CROSS JOIN LATERAL (
    SELECT r.session_id, r.capture_end_time, r.chunk_id, r.dissonance_direction FROM fusion_results r
    WHERE r.session_id = wanted.session_id AND r.dissonance_direction <> 'unclear'
        AND (r.capture_end_time, r.chunk_id) < (wanted.capture_end_time, wanted.chunk_id)
    ORDER BY r.capture_end_time DESC, r.chunk_id DESC LIMIT $4
) r
ORDER BY r.session_id, r.capture_end_time, r.chunk_id
"""

_PAGE = """
SELECT * FROM fusion_results WHERE session_id = $1 AND (capture_end_time, chunk_id) > ($2, $3)
ORDER BY capture_end_time, chunk_id LIMIT $4
"""


async def write(tx: Transaction, sessions: Sequence[SessionChanges], fused: FusedParts) -> None:
    """Puts the results in the place of what the table has of them. `fused`: their chunks' fused_fields."""
    stored = [
        (session_id, change.result.chunk_id)
        for session_id, _, changes in sessions
        for change in changes
        if change.is_stored
    ]
    if stored:
        await tx.driver.execute(
            "DELETE FROM fusion_results r USING unnest($1::uuid[], $2::uuid[]) AS old (session_id, chunk_id)"
            " WHERE r.session_id = old.session_id AND r.chunk_id = old.chunk_id",
            [session_id for session_id, _ in stored],
            [chunk_id for _, chunk_id in stored],
        )
    fields = iter(fused.of([change.result.fused for _, _, changes in sessions for change in changes]))
    rows = (
        packed(session_id, user_id, change.result, next(fields))
        for session_id, user_id, changes in sessions
        for change in changes
    )
    await copy_rows(tx, "fusion_results", COLUMNS, rows)


async def read_from(tx: Transaction, places: Sequence[Place]) -> Mapping[UUID, Sequence[ChunkResult]]:
    """By session: the results from a place on, in the order of capture."""
    found: defaultdict[UUID, list[ChunkResult]] = defaultdict(list)
    for row in await tx.driver.fetch(_FROM, *_columns(places)):
        found[row["session_id"]].append(result_in(row))
    return found


async def read_standings_before(tx: Transaction, places: Sequence[Place]) -> Mapping[UUID, Standing]:
    """By session: where it stood right before a place."""
    judged: defaultdict[UUID, Judged] = defaultdict(tuple)
    for row in await tx.driver.fetch(_JUDGED_BEFORE, *_columns(places), JUDGED_CHUNKS):
        direction = Direction[row["dissonance_direction"].upper()]
        judged[row["session_id"]] = (*judged[row["session_id"]], (row["chunk_id"], direction))
    standings = {session_id: Standing() for session_id, _, _ in places}
    for row in await tx.driver.fetch(_BEFORE, *_columns(places)):
        standing = result_in(row).standing
        state = replace(standing.state, judged=judged[row["session_id"]])
        standings[row["session_id"]] = Standing(state, standing.reason)
    return standings


async def read_page(tx: Transaction, session_id: UUID, after: PageKey, limit: int) -> Sequence[ChunkResult]:
    """In the order of capture."""
    return [result_in(row) for row in await read_stored_page(tx, session_id, after, limit)]


async def read_stored_page(tx: Transaction, session_id: UUID, after: PageKey, limit: int) -> Sequence["asyncpg.Record"]:
    """In the order of capture, the rows as they stand."""
    return await tx.driver.fetch(_PAGE, session_id, *after, limit)


async def count(tx: Transaction, session_id: UUID) -> int:
    chunks: int = await tx.driver.fetchval("SELECT count(*) FROM fusion_results WHERE session_id = $1", session_id)
    return chunks


async def read_missing(tx: Transaction, session_id: UUID, limit: int) -> Sequence[UUID]:
    """Chunks whose inputs are kept and whose result isn't; by the keys of both tables."""
    rows = await tx.driver.fetch(
        "SELECT DISTINCT i.chunk_id FROM chunk_inputs i WHERE i.session_id = $1 AND NOT EXISTS"
        " (SELECT FROM fusion_results r WHERE r.session_id = i.session_id AND r.chunk_id = i.chunk_id)"
        " ORDER BY i.chunk_id LIMIT $2",
        session_id,
        limit,
    )
    return [row["chunk_id"] for row in rows]


async def newest_version(tx: Transaction) -> str | None:
    """Of the model, in the newest session; None when nothing is fused. By the keys of both tables."""
    version: str | None = await tx.driver.fetchval(
        "WITH newest AS MATERIALIZED (SELECT session_id, chunk_id FROM session_states ORDER BY session_id DESC LIMIT 1)"
        " SELECT model_version FROM fusion_results JOIN newest USING (session_id, chunk_id)"
    )
    return version


async def read_one(tx: Transaction, session_id: UUID, chunk_id: UUID) -> ChunkResult | None:
    row = await tx.driver.fetchrow(
        "SELECT * FROM fusion_results WHERE session_id = $1 AND chunk_id = $2", session_id, chunk_id
    )
    return None if row is None else result_in(row)


def _columns(places: Sequence[Place]) -> tuple[list[UUID], list[datetime], list[UUID]]:
    return [place[0] for place in places], [place[1] for place in places], [place[2] for place in places]
