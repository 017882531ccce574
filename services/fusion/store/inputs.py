"""chunk_inputs: what ingest told of chunks. Reads go by the primary key, and so within one session."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

import asyncpg

from libs.common.db.database import Transaction
from services.fusion.fold import ClientBatch
from services.fusion.inputs import ChunkInputs, Prediction, Said, Shown
from services.fusion.vocabulary import CrisisSignal, Emotion, Level, Modality

EXPIRED_AT_ONCE = 20

_EXPIRED = "SELECT DISTINCT session_id FROM chunk_inputs WHERE session_id < $1 LIMIT $2"
_COLUMNS = (
    "session_id",
    "user_id",
    "chunk_id",
    "modality",
    "capture_start_time",
    "capture_end_time",
    "batch_number",
    "receive_time",
    "probability",
    "confidence",
    "emotion",
    "distribution",
    "level",
    "valence",
    "deflection",
    "signals",
    "model_version",
)


async def write(tx: Transaction, batches: Iterable[ClientBatch]) -> None:
    records = [_record(batch, prediction) for batch in batches for prediction in batch.predictions]
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
        prediction = _prediction(row)
        chunks_of_session = found[row["session_id"]]
        known = chunks_of_session.get(prediction.chunk_id) or ChunkInputs.nothing_of(prediction)
        chunks_of_session[prediction.chunk_id] = known.with_prediction(prediction)
    return found


def _record(batch: ClientBatch, prediction: Prediction) -> tuple[Any, ...]:
    content = prediction.content
    shown = content if isinstance(content, Shown) else None
    said = content if isinstance(content, Said) else None
    return (
        batch.session_id,
        batch.user_id,
        prediction.chunk_id,
        prediction.modality,
        prediction.capture_start_time,
        prediction.capture_end_time,
        batch.batch_number,
        batch.receive_time,
        content.probability,
        content.confidence,
        shown and shown.emotion,
        shown and shown.distribution,
        said and said.level,
        said and said.valence,
        said and said.deflection,
        said and sorted(said.signals),
        content.model_version,
    )


def _prediction(row: "asyncpg.Record") -> Prediction:
    modality = Modality(row["modality"])
    return Prediction(
        chunk_id=row["chunk_id"],
        capture_start_time=row["capture_start_time"],
        capture_end_time=row["capture_end_time"],
        modality=modality,
        content=_said(row) if modality is Modality.TEXT else _shown(row),
    )


def _shown(row: "asyncpg.Record") -> Shown:
    return Shown(
        emotion=Emotion(row["emotion"]),
        probability=row["probability"],
        confidence=row["confidence"],
        distribution=None if row["distribution"] is None else tuple(row["distribution"]),
        model_version=row["model_version"],
    )


def _said(row: "asyncpg.Record") -> Said:
    return Said(
        level=Level(row["level"]),
        probability=row["probability"],
        confidence=row["confidence"],
        valence=row["valence"],
        deflection=row["deflection"],
        signals=frozenset(map(CrisisSignal, row["signals"])),
        model_version=row["model_version"],
    )
