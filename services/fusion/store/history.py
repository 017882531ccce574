"""Everything that the slice still knows of what it told, person by person, in the order in which ingest received it."""

from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

import asyncpg

from libs.common.db.database import Transaction
from services.fusion.fold import BatchOrigin, ChunkResult
from services.fusion.records import SessionEnd
from services.fusion.store.result_rows import result_in

_PEOPLE_AT_ONCE = 1000
_HAPPENINGS_AT_ONCE = 500

_PEOPLE = "SELECT user_id, anonymous_id FROM users WHERE user_id > $1 ORDER BY user_id LIMIT $2"
# An end comes after something that was fused: before that it teaches nobody anything.
# A batch whose every result was revised since is not among them: what came of it stands with the newer batch.
_HAPPENINGS = """
WITH mine AS MATERIALIZED (SELECT session_id FROM session_states WHERE user_id = $1 AND session_id >= $2),
batches AS MATERIALIZED (
    SELECT session_id, batch_number, receive_time
    FROM (SELECT DISTINCT session_id, batch_number FROM fusion_results JOIN mine USING (session_id)) told
    JOIN (SELECT session_id, batch_number, min(receive_time) AS receive_time FROM chunk_inputs
          JOIN mine USING (session_id) GROUP BY session_id, batch_number) received USING (session_id, batch_number)
),
begun AS MATERIALIZED (SELECT session_id, min(receive_time) AS receive_time FROM batches GROUP BY session_id)
SELECT session_id, batch_number, receive_time, NULL AS end_time, receive_time AS told_at FROM batches
UNION ALL
SELECT session_id, NULL, e.receive_time, e.end_time, greatest(e.receive_time, begun.receive_time)
FROM session_ends e LEFT JOIN begun USING (session_id) WHERE user_id = $1 AND session_id >= $2
ORDER BY told_at, session_id, batch_number NULLS LAST
"""
_RESULTS = """
SELECT r.* FROM unnest($1::uuid[], $2::bigint[]) AS wanted (session_id, batch_number)
JOIN fusion_results r USING (session_id, batch_number)
ORDER BY r.session_id, r.batch_number, r.capture_end_time, r.chunk_id
"""


@dataclass(frozen=True, slots=True)
class BatchFused:
    batch: BatchOrigin
    results: Sequence[ChunkResult]


async def read(tx: Transaction, first_session_id: UUID) -> AsyncIterator[BatchFused | SessionEnd]:
    """Of sessions from this id on."""
    newest = UUID(int=0)
    while people := await tx.driver.fetch(_PEOPLE, newest, _PEOPLE_AT_ONCE):
        for person in people:
            async for happening in _of_person(tx, person, first_session_id):
                yield happening
        newest = people[-1]["user_id"]


async def _of_person(
    tx: Transaction, person: "asyncpg.Record", first_session_id: UUID
) -> AsyncIterator[BatchFused | SessionEnd]:
    user_id, anonymous_id = person
    happenings = await tx.driver.fetch(_HAPPENINGS, user_id, first_session_id)
    for some in _parts(happenings):
        results = await _results(tx, [row for row in some if row["batch_number"] is not None])
        for row in some:
            who = (user_id, anonymous_id, row["session_id"])
            if row["batch_number"] is None:
                yield SessionEnd(*who, row["end_time"], row["receive_time"])
            else:
                batch = BatchOrigin(*who, row["receive_time"], row["batch_number"])
                yield BatchFused(batch, results[row["session_id"], row["batch_number"]])


def _parts(rows: Sequence["asyncpg.Record"]) -> Sequence[Sequence["asyncpg.Record"]]:
    return [rows[first : first + _HAPPENINGS_AT_ONCE] for first in range(0, len(rows), _HAPPENINGS_AT_ONCE)]


async def _results(
    tx: Transaction, batches: Sequence["asyncpg.Record"]
) -> Mapping[tuple[UUID, int], Sequence[ChunkResult]]:
    found: defaultdict[tuple[UUID, int], list[ChunkResult]] = defaultdict(list)
    columns = [row["session_id"] for row in batches], [row["batch_number"] for row in batches]
    for row in await tx.driver.fetch(_RESULTS, *columns):
        found[row["session_id"], row["batch_number"]].append(result_in(row))
    return found
