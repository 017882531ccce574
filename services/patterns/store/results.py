"""What fusion told: chunks at their newest revision, and events that wait for ingest's facts."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from libs.common.db.database import Transaction
from services.patterns.facts import Dissonance, FusedBatch, FusedChunk
from services.patterns.levels import Level
from services.patterns.store.jsonb import as_jsonb

_KEEP = """
INSERT INTO chunk_results (session_id, user_id, chunk_id, revision, capture_end_time, level, score, session_score,
    critical_cue, dissonance, dissonance_score, emotions) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
ON CONFLICT (session_id, chunk_id) DO UPDATE SET revision = excluded.revision,
    capture_end_time = excluded.capture_end_time, level = excluded.level, score = excluded.score,
    session_score = excluded.session_score, critical_cue = excluded.critical_cue, dissonance = excluded.dissonance,
    dissonance_score = excluded.dissonance_score, emotions = excluded.emotions
"""
# For each session a look-up by the key, whatever the planner believes of a new partition's size.
_OF_SESSIONS = """
SELECT of_session.* FROM unnest($1::uuid[]) AS wanted (session_id)
CROSS JOIN LATERAL (SELECT * FROM chunk_results c WHERE c.session_id = wanted.session_id OFFSET 0) AS of_session
"""
_WHO_WAITS = "SELECT DISTINCT user_id FROM waiting_fused WHERE user_id = ANY($1)"
_WAITING = """
SELECT told.user_id, sequence, event FROM unnest($1::uuid[]) AS told (user_id)
CROSS JOIN LATERAL (
    SELECT sequence, event FROM waiting_fused WHERE user_id = told.user_id ORDER BY sequence LIMIT $2
) AS first
ORDER BY told.user_id, sequence
"""
_WAIT = "INSERT INTO waiting_fused (user_id, event) VALUES ($1, $2)"
_DONE_WAITING = "DELETE FROM waiting_fused WHERE sequence = ANY($1::bigint[])"


@dataclass(frozen=True, slots=True)
class Waiting:
    """An event of fusion, as it came. `sequence` grows in the order of fusion's feed for each person."""

    sequence: int
    event: bytes


async def keep(tx: Transaction, batches: Sequence[FusedBatch]) -> None:
    rows = [_row(batch, chunk) for batch in batches for chunk in batch.chunks]
    if rows:
        await tx.driver.executemany(_KEEP, rows)


async def of_sessions(tx: Transaction, session_ids: Sequence[UUID]) -> dict[UUID, list[FusedChunk]]:
    """By the primary key; no session that has none."""
    found: dict[UUID, list[FusedChunk]] = {}
    for row in await tx.driver.fetch(_OF_SESSIONS, session_ids):
        found.setdefault(row["session_id"], []).append(_chunk(row))
    return found


async def who_waits(tx: Transaction, user_ids: Sequence[UUID]) -> set[UUID]:
    return {row["user_id"] for row in await tx.driver.fetch(_WHO_WAITS, user_ids)}


async def waiting(tx: Transaction, user_ids: Collection[UUID], limit: int) -> dict[UUID, list[Waiting]]:
    """The first of each person that wait, in order; nobody of whom nothing does."""
    found: dict[UUID, list[Waiting]] = {}
    for user_id, sequence, event in await tx.driver.fetch(_WAITING, list(user_ids), limit):
        found.setdefault(user_id, []).append(Waiting(sequence, event))
    return found


async def wait(tx: Transaction, events: Sequence[tuple[UUID, bytes]]) -> None:
    """Appends (user_id, event)s; the person's lock is held, so that sequences are in the order of the feed."""
    await tx.driver.executemany(_WAIT, events)


async def done_waiting(tx: Transaction, sequences: Sequence[int]) -> None:
    await tx.driver.execute(_DONE_WAITING, sequences)


def _chunk(row: Mapping[str, Any]) -> FusedChunk:
    return FusedChunk(
        chunk_id=row["chunk_id"],
        revision=row["revision"],
        capture_end_time=row["capture_end_time"],
        level=Level.of(row["level"]),
        score=row["score"],
        session_score=row["session_score"],
        critical_cue=row["critical_cue"],
        dissonance=Dissonance(row["dissonance"]),
        dissonance_score=row["dissonance_score"],
        emotions=row["emotions"],
    )


def _row(batch: FusedBatch, chunk: FusedChunk) -> tuple[object, ...]:
    return (
        batch.session_id,
        batch.user_id,
        chunk.chunk_id,
        chunk.revision,
        chunk.capture_end_time,
        chunk.level.word,
        chunk.score,
        chunk.session_score,
        chunk.critical_cue,
        chunk.dissonance.value,
        chunk.dissonance_score,
        as_jsonb(chunk.emotions),
    )
