"""chunk_inputs: what ingest told of chunks. Reads go by the primary key, and so within one session."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from itertools import starmap
from typing import TypeAlias
from uuid import UUID

from libs.common.db.copying import copy_rows
from libs.common.db.database import Transaction
from services.fusion.fold import ClientBatch
from services.fusion.science.inputs import ChunkInputs
from services.fusion.store import input_rows

EXPIRED_AT_ONCE = 20

_EXPIRED = "SELECT DISTINCT session_id FROM chunk_inputs WHERE session_id < $1 LIMIT $2"
_TAKE = """
DELETE FROM chunk_inputs i USING unnest($1::uuid[], $2::uuid[], $3::bigint[]) AS old (session_id, chunk_id, number)
WHERE i.session_id = old.session_id AND i.chunk_id = old.chunk_id AND i.batch_number = old.number RETURNING i.*
"""

_Key: TypeAlias = tuple[UUID, UUID, int]  # session_id, chunk_id, batch_number


async def write(tx: Transaction, batches: Sequence[ClientBatch], stored: Mapping[UUID, Collection[UUID]]) -> None:
    """What each batch brings of each chunk; all of it is new. `stored`: by session, chunks that were there before."""
    numbers = {(batch.session_id, batch.batch_number) for batch in batches}
    if len(numbers) < len(batches) or any(stored.values()):
        brought = await _brought_again(tx, batches, stored)
    else:
        brought = [(batch, chunk) for batch in batches for chunk in batch.chunks]
    await copy_rows(tx, "chunk_inputs", input_rows.COLUMNS, starmap(input_rows.packed, brought))


async def _brought_again(
    tx: Transaction, batches: Sequence[ClientBatch], stored: Mapping[UUID, Collection[UUID]]
) -> Sequence[tuple[ClientBatch, ChunkInputs]]:
    """A sender that lost count numbers two batches alike. What both bring of a chunk is one row, received when the
    first was.
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
        brought[key] = replace(batch, receive_time=row["receive_time"]), input_rows.inputs_in(row).joined(chunk)
    return list(brought.values())


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
        one, of_session = input_rows.inputs_in(row), found[row["session_id"]]
        known = of_session.get(one.chunk_id)
        of_session[one.chunk_id] = known.joined(one) if known else one
    return found
