"""Folds client batches of many sessions: what the sessions need is loaded once, every touched chunk is fused in one go,
the batches are folded one after the other, and everything is written once.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from uuid import UUID

from libs.common.db.database import Transaction
from services.fusion.columns import FusedColumns, FusedParts
from services.fusion.events import chunks_fused, fused_parts
from services.fusion.fold import ChunkResult, ClientBatch, Models, SessionFold, Standing
from services.fusion.science.fuse import FusedChunk, chunks_of, fuse
from services.fusion.science.inputs import ChunkInputs, InputArrays
from services.fusion.store import accounts, inputs, results, sessions
from services.fusion.store.packed_results import fused_fields
from services.fusion.store.results import Place
from services.fusion.store.sessions import SessionTail

# About a third of a millisecond.
TOLD_AT_ONCE = 32

Tails = Mapping[UUID, SessionTail]


async def fold_batches(
    tx: Transaction, models: Models, batches: Sequence[ClientBatch], tails: Tails
) -> tuple[Sequence[bytes], Tails]:
    """An event of what each batch changed, in the order of the batches; how they are grouped into calls makes no
    difference. `tails` before, of all sessions that have one, and after.
    """
    folds = await _load(tx, models, batches, tails)
    fused = fuse_batches(models, folds, batches)
    telling = asyncio.ensure_future(_told(batches, fused))
    try:
        new_tails = await _write(tx, models, batches, tails, folds, fused.said_by(fused_fields))
        return await telling, {**tails, **new_tails}
    finally:
        telling.cancel()


@dataclass(frozen=True, slots=True)
class FusedBatches:
    """`changed`: by batch, what it changed."""

    changed: Sequence[Sequence[ChunkResult]]
    chunks: Sequence[FusedChunk]
    columns: FusedColumns  # of the chunks

    def said_by(self, make: Callable[[FusedColumns], Sequence[bytes]]) -> FusedParts:
        parts = FusedParts(make)
        parts.add(self.chunks, self.columns)
        return parts


async def _told(batches: Sequence[ClientBatch], fused: FusedBatches) -> Sequence[bytes]:
    """Made while Postgres takes the rows: what chunks say by themselves of all at once (two milliseconds for a
    thousand), the rest a few at a time, so that it doesn't wait long for the next ones.
    """
    parts = iter(fused.said_by(fused_parts).of([result.fused for changed in fused.changed for result in changed]))
    events: list[bytes] = []
    for batch, changed in zip(batches, fused.changed, strict=True):
        events.append(chunks_fused(batch, changed, islice(parts, len(changed))))
        if len(events) % TOLD_AT_ONCE == 0:
            await asyncio.sleep(0)
    return events


def fuse_batches(models: Models, folds: Mapping[UUID, SessionFold], batches: Sequence[ClientBatch]) -> FusedBatches:
    """`folds` has each batch's session, as far as the batches reach back. ValueError for numbers that no edge model
    says.
    """
    touched = [folds[batch.session_id].merge(batch) for batch in batches]
    arrays = InputArrays.of([chunk for chunks in touched for chunk in chunks])
    arrays.check()
    fused = fuse(models.active, arrays)
    chunks = chunks_of(models.active, fused)
    each = iter(chunks)
    changed = [
        folds[batch.session_id].apply(batch.batch_number, of_batch, [next(each) for _ in of_batch])
        for batch, of_batch in zip(batches, touched, strict=True)
    ]
    return FusedBatches(changed, chunks, FusedColumns.of_arrays(models.active, fused))


async def _load(
    tx: Transaction, models: Models, batches: Sequence[ClientBatch], tails: Tails
) -> Mapping[UUID, SessionFold]:
    """Most sessions grow at their end alone, and their tail is all that they need."""
    standings = {session_id: tail.standing for session_id, tail in tails.items()}
    later: Mapping[UUID, Sequence[ChunkResult]] = {}
    known: Mapping[UUID, Mapping[UUID, ChunkInputs]] = {}
    places = _places_reached_back_to(batches, tails)
    if places:
        await sessions.lock_table(tx)
        standings |= await results.read_standings_before(tx, places)
        later = await results.read_from(tx, places)
        known = await inputs.read(tx, _chunks_of(batches, {session_id for session_id, _, _ in places}))
    return {
        session_id: SessionFold(
            models, standings.get(session_id, Standing()), later.get(session_id, ()), known.get(session_id, {})
        )
        for session_id in {batch.session_id for batch in batches}
    }


def _places_reached_back_to(batches: Sequence[ClientBatch], tails: Tails) -> Sequence[Place]:
    """For each session that doesn't only grow at its end: the earliest chunk that a batch brings."""
    earliest: dict[UUID, tuple[datetime, UUID]] = {}
    for batch in batches:
        first = min(chunk.key for chunk in batch.chunks)
        earliest[batch.session_id] = min(first, earliest.get(batch.session_id, first))
    return [
        (session_id, *first)
        for session_id, first in earliest.items()
        if session_id in tails and first <= tails[session_id].key
    ]


def _chunks_of(batches: Sequence[ClientBatch], session_ids: set[UUID]) -> Sequence[tuple[UUID, UUID]]:
    chunks = {
        (batch.session_id, chunk.chunk_id)
        for batch in batches
        if batch.session_id in session_ids
        for chunk in batch.chunks
    }
    return list(chunks)


async def _write(
    tx: Transaction,
    models: Models,
    batches: Sequence[ClientBatch],
    tails: Tails,
    folds: Mapping[UUID, SessionFold],
    fields: FusedParts,
) -> Tails:
    """Returns the new ones."""
    people = {batch.session_id: batch.user_id for batch in batches}
    new_tails: dict[UUID, SessionTail] = {}
    changes = []
    for session_id, fold in folds.items():
        newest, tail = fold.newest, tails.get(session_id)
        new_tails[session_id] = SessionTail(
            session_id=session_id,
            user_id=people[session_id],
            chunks=fold.new_chunks + (tail.chunks if tail else 0),
            chunk_id=newest.chunk_id,
            capture_end_time=newest.capture_end_time,
            standing=newest.standing,
        )
        changes.append((session_id, people[session_id], fold.changes()))
    await sessions.write_tails(tx, new_tails.values())
    await inputs.write(tx, batches, {session_id: fold.stored for session_id, fold in folds.items()})
    await results.write(tx, changes, fields)
    await accounts.write(tx, models, changes)
    return new_tails
