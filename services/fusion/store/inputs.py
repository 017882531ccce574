"""chunk_inputs: what ingest told of chunks. Reads go by the primary key, and so within one session."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias
from uuid import UUID

import asyncpg

from libs.common.db.database import Transaction
from services.fusion.fold import ClientBatch
from services.fusion.inputs import ChunkInputs, Said, Shown
from services.fusion.vocabulary import CrisisSignal, Emotion, Level

EXPIRED_AT_ONCE = 20

_EXPIRED = "SELECT DISTINCT session_id FROM chunk_inputs WHERE session_id < $1 LIMIT $2"
_TAKE = """
DELETE FROM chunk_inputs i USING unnest($1::uuid[], $2::uuid[], $3::bigint[]) AS old (session_id, chunk_id, number)
WHERE i.session_id = old.session_id AND i.chunk_id = old.chunk_id AND i.batch_number = old.number RETURNING i.*
"""

_Key: TypeAlias = tuple[UUID, UUID, int]  # session_id, chunk_id, batch_number

_SHOWN = ("emotion", "probability", "confidence", "distribution", "model_version")
_SAID = ("level", "probability", "confidence", "valence", "deflection", "signals", "model_version")
_COLUMNS = (
    "session_id",
    "user_id",
    "chunk_id",
    "batch_number",
    "capture_start_time",
    "capture_end_time",
    "receive_time",
    *(f"vision_{part}" for part in _SHOWN),
    *(f"audio_{part}" for part in _SHOWN),
    *(f"text_{part}" for part in _SAID),
)
_NOTHING_SHOWN = (None,) * len(_SHOWN)
_NOTHING_SAID = (None,) * len(_SAID)


async def write(tx: Transaction, batches: Iterable[ClientBatch], stored: Mapping[UUID, Collection[UUID]]) -> None:
    """What each batch brings of each chunk; all of it is new. `stored`: by session, chunks that were there before.

    A sender that lost count numbers two batches alike. What both bring of a chunk is one row, received when the first
    was.
    """
    brought: dict[_Key, tuple[ClientBatch, ChunkInputs]] = {}
    for batch in batches:
        for chunk in batch.chunks:
            key = batch.session_id, chunk.chunk_id, batch.batch_number
            first, parts = brought.get(key, (batch, None))
            brought[key] = first, parts.joined(chunk) if parts else chunk
    again = [key for key in brought if key[1] in stored[key[0]]]
    for row in await tx.driver.fetch(_TAKE, *zip(*again, strict=True)) if again else ():
        key = row["session_id"], row["chunk_id"], row["batch_number"]
        batch, chunk = brought[key]
        brought[key] = replace(batch, receive_time=row["receive_time"]), _inputs_in(row).joined(chunk)
    records = (_record(batch, chunk) for batch, chunk in brought.values())
    await tx.driver.copy_records_to_table("chunk_inputs", records=records, columns=_COLUMNS)


async def expire(tx: Transaction, before: UUID) -> Sequence[UUID]:
    """Deletes those of some sessions whose id is less, and returns the sessions.

    For rows that came after their month's partition was dropped: only then is there little to look through.
    """
    rows = await tx.driver.fetch(_EXPIRED, before, EXPIRED_AT_ONCE)
    session_ids = [row["session_id"] for row in rows]
    if session_ids:
        await tx.driver.execute("DELETE FROM chunk_inputs WHERE session_id = ANY($1::uuid[])", session_ids)
    return session_ids


async def read(tx: Transaction, chunks: Sequence[tuple[UUID, UUID]]) -> Mapping[UUID, Mapping[UUID, ChunkInputs]]:
    """Of (session_id, chunk_id) pairs: by session, then by chunk. A chunk of which nothing is kept is absent."""
    rows = await tx.driver.fetch(
        "SELECT i.* FROM unnest($1::uuid[], $2::uuid[]) AS wanted (session_id, chunk_id)"
        " JOIN chunk_inputs i USING (session_id, chunk_id)",
        [session_id for session_id, _ in chunks],
        [chunk_id for _, chunk_id in chunks],
    )
    found: defaultdict[UUID, dict[UUID, ChunkInputs]] = defaultdict(dict)
    for row in rows:
        one, of_session = _inputs_in(row), found[row["session_id"]]
        known = of_session.get(one.chunk_id)
        of_session[one.chunk_id] = known.joined(one) if known else one
    return found


def _record(batch: ClientBatch, chunk: ChunkInputs) -> tuple[Any, ...]:
    return (
        batch.session_id,
        batch.user_id,
        chunk.chunk_id,
        batch.batch_number,
        chunk.capture_start_time,
        chunk.capture_end_time,
        batch.receive_time,
        *(chunk.vision or _NOTHING_SHOWN),
        *(chunk.audio or _NOTHING_SHOWN),
        *(_NOTHING_SAID if chunk.text is None else _said_cells(chunk.text)),
    )


def _said_cells(text: Said) -> tuple[Any, ...]:
    *before, signals, model_version = text
    return (*before, sorted(signals), model_version)


def _inputs_in(row: "asyncpg.Record") -> ChunkInputs:
    """What one batch brought."""
    return ChunkInputs(
        chunk_id=row["chunk_id"],
        capture_start_time=row["capture_start_time"],
        capture_end_time=row["capture_end_time"],
        vision=_shown(row, "vision"),
        audio=_shown(row, "audio"),
        text=_said(row),
    )


def _shown(row: "asyncpg.Record", modality: str) -> Shown | None:
    emotion, probability, confidence, distribution, model_version = (row[f"{modality}_{part}"] for part in _SHOWN)
    if emotion is None:
        return None
    return Shown(Emotion(emotion), probability, confidence, distribution and tuple(distribution), model_version)


def _said(row: "asyncpg.Record") -> Said | None:
    if row["text_level"] is None:
        return None
    return Said(
        level=Level(row["text_level"]),
        probability=row["text_probability"],
        confidence=row["text_confidence"],
        valence=row["text_valence"],
        deflection=row["text_deflection"],
        signals=frozenset(map(CrisisSignal, row["text_signals"])),
        model_version=row["text_model_version"],
    )
