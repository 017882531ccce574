"""What ingest told: places of batches, and what voice and words measured."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from libs.common.db.database import Transaction
from services.patterns.facts import MEASURES, ChunkFeatures, Cues

_SESSIONS = "SELECT session_id, batches FROM session_inputs WHERE session_id = ANY($1)"
_KEEP_SESSION = """
INSERT INTO session_inputs (session_id, user_id, batches, end_ordinal) VALUES ($1, $2, $3, $4)
ON CONFLICT (session_id) DO UPDATE SET batches = excluded.batches,
    end_ordinal = coalesce(session_inputs.end_ordinal, excluded.end_ordinal)
"""
# A number that a client used twice keeps its first place: what waits for it must not depend on who is faster.
_KEEP_BATCH = """
INSERT INTO ingested_batches (session_id, user_id, batch_number, ordinal) VALUES ($1, $2, $3, $4)
ON CONFLICT (session_id, batch_number) DO NOTHING
"""
_ORDINALS = """
SELECT session_id, batch_number, ordinal FROM ingested_batches
JOIN unnest($1::uuid[], $2::bigint[]) AS told (session_id, batch_number) USING (session_id, batch_number)
"""
_END_ORDINALS = (
    "SELECT session_id, end_ordinal FROM session_inputs WHERE session_id = ANY($1) AND end_ordinal IS NOT NULL"
)
_CUE_COLUMNS = ("language", "code_switching", "deflections", "topics", "coping")
_FEATURE_COLUMNS = ("session_id", "chunk_id", "ordinal", "user_id", *MEASURES, *_CUE_COLUMNS)
# For each session a look-up by the key, whatever the planner believes of a new partition's size.
_FEATURES = """
SELECT of_session.* FROM unnest($1::uuid[], $2::int[]) AS known (session_id, through)
CROSS JOIN LATERAL (
    SELECT * FROM chunk_features c WHERE c.session_id = known.session_id AND ordinal > through OFFSET 0
) AS of_session
"""

EXPIRED_AT_ONCE = 20
_EXPIRED = """
SELECT session_id FROM ingested_batches WHERE session_id < $1
UNION SELECT session_id FROM chunk_features WHERE session_id < $1
UNION SELECT session_id FROM chunk_results WHERE session_id < $1 LIMIT $2
"""
_EXPIRE = tuple(
    f"DELETE FROM {table} WHERE session_id = ANY($1::uuid[])"  # noqa: S608 - names of tables of ours
    for table in ("ingested_batches", "chunk_features", "chunk_results")
)


@dataclass(frozen=True, slots=True)
class BatchRow:
    """A batch of a session with its place among those of the session, from 1."""

    session_id: UUID
    user_id: UUID
    batch_number: int
    ordinal: int
    features: Sequence[ChunkFeatures]


@dataclass(slots=True)
class SessionInputs:
    """How many batches ingest told of a session, and how many when it told the end; None before."""

    session_id: UUID
    user_id: UUID
    batches: int = 0
    end_ordinal: int | None = None


async def batches_told(tx: Transaction, session_ids: Iterable[UUID]) -> dict[UUID, int]:
    return dict(await tx.driver.fetch(_SESSIONS, list(session_ids)))


async def keep(tx: Transaction, sessions: Iterable[SessionInputs], batches: Sequence[BatchRow]) -> None:
    rows = [(one.session_id, one.user_id, one.batches, one.end_ordinal) for one in sessions]
    await tx.driver.executemany(_KEEP_SESSION, rows)
    if not batches:
        return
    await tx.driver.executemany(
        _KEEP_BATCH, [(batch.session_id, batch.user_id, batch.batch_number, batch.ordinal) for batch in batches]
    )
    await tx.driver.copy_records_to_table(
        "chunk_features", columns=_FEATURE_COLUMNS, records=[row for batch in batches for row in _feature_rows(batch)]
    )


async def ordinals(tx: Transaction, batches: Sequence[tuple[UUID, int]]) -> dict[tuple[UUID, int], int]:
    """Places of (session_id, batch_number) that ingest has told."""
    found = await tx.driver.fetch(_ORDINALS, [session for session, _ in batches], [number for _, number in batches])
    return {(row["session_id"], row["batch_number"]): row["ordinal"] for row in found}


async def end_ordinals(tx: Transaction, session_ids: Sequence[UUID]) -> dict[UUID, int]:
    """Of the sessions whose end ingest has told."""
    return dict(await tx.driver.fetch(_END_ORDINALS, session_ids))


async def features_after(tx: Transaction, ordinals: Mapping[UUID, int]) -> dict[UUID, list[tuple[int, ChunkFeatures]]]:
    """Of each session's batches behind a place, each with the place of its batch; by the primary key."""
    found: dict[UUID, list[tuple[int, ChunkFeatures]]] = {}
    for row in await tx.driver.fetch(_FEATURES, list(ordinals), list(ordinals.values())):
        found.setdefault(row["session_id"], []).append((row["ordinal"], _features(row)))
    return found


async def expire(tx: Transaction, before: UUID) -> Sequence[UUID]:
    """Deletes what both feeds told of chunks of some sessions whose id is less, and returns the sessions.

    For rows that came after their month's partition was dropped: only then is there little to look through.
    """
    session_ids = [row["session_id"] for row in await tx.driver.fetch(_EXPIRED, before, EXPIRED_AT_ONCE)]
    if session_ids:
        for statement in _EXPIRE:
            await tx.driver.execute(statement, session_ids)
    return session_ids


def _features(row: Mapping[str, Any]) -> ChunkFeatures:
    return ChunkFeatures(
        chunk_id=row["chunk_id"],
        measures={name: row[name] for name in MEASURES if row[name] is not None},
        cues=None if row["code_switching"] is None else _cues(*(row[name] for name in _CUE_COLUMNS)),
    )


def _feature_rows(batch: BatchRow) -> Iterable[tuple[object, ...]]:
    """A chunk's voice and words of one batch share a row."""
    merged: dict[UUID, ChunkFeatures] = {}
    for one in batch.features:
        before = merged.get(one.chunk_id, one)
        merged[one.chunk_id] = ChunkFeatures(one.chunk_id, {**before.measures, **one.measures}, one.cues or before.cues)
    for one in merged.values():
        measures = (one.measures.get(name) for name in MEASURES)
        yield (batch.session_id, one.chunk_id, batch.ordinal, batch.user_id, *measures, *_cue_values(one.cues))


def _cue_values(cues: Cues | None) -> Sequence[object]:
    if cues is None:
        return [None] * len(_CUE_COLUMNS)
    return cues.language, cues.code_switching, cues.deflections, cues.topics, cues.coping


def _cues(
    language: str, code_switching: bool, deflections: Sequence[str], topics: Sequence[str], coping: Sequence[str]
) -> Cues:
    return Cues(language, code_switching, tuple(deflections), tuple(topics), tuple(coping))
