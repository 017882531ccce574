"""Everything that the slice still knows of what it told, person by person, in the order in which ingest received it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from uuid import UUID

import asyncpg

from libs.common.db.database import Transaction
from services.fusion.fold import BatchOrigin, ChunkResult
from services.fusion.records import SessionEnd
from services.fusion.store.result_rows import result_in

_PEOPLE_AT_ONCE = 1000
# In memory are so many rows at once, and the results of one client batch.
_ROWS_AT_ONCE = 500

_PEOPLE = "SELECT user_id, anonymous_id FROM users WHERE user_id > $1 ORDER BY user_id LIMIT $2"
# A row for each result, and one for each end. An end comes after something that was fused: before that it teaches
# nobody anything. A batch whose every result was revised since is not among them: what came of it stands with the
# newer batch. OFFSET 0: results are found session by session, and not among everybody's.
_HAPPENINGS = """
WITH mine AS MATERIALIZED (SELECT session_id FROM session_states WHERE user_id = $1 AND session_id >= $2),
results AS NOT MATERIALIZED (
    SELECT of_session.* FROM mine CROSS JOIN LATERAL (
        SELECT * FROM fusion_results r WHERE r.session_id = mine.session_id OFFSET 0
    ) AS of_session
),
batches AS MATERIALIZED (
    SELECT session_id, batch_number, receive_time
    FROM (SELECT DISTINCT session_id, batch_number FROM results) told
    JOIN (SELECT session_id, batch_number, min(receive_time) AS receive_time FROM chunk_inputs
          JOIN mine USING (session_id) GROUP BY session_id, batch_number) received USING (session_id, batch_number)
),
begun AS MATERIALIZED (SELECT session_id, min(receive_time) AS receive_time FROM batches GROUP BY session_id),
happenings AS (
    SELECT session_id, batch_number, receive_time, NULL AS end_time, receive_time AS told_at FROM batches
    UNION ALL
    SELECT session_id, NULL, e.receive_time, e.end_time, greatest(e.receive_time, begun.receive_time)
    FROM session_ends e LEFT JOIN begun USING (session_id) WHERE user_id = $1 AND session_id >= $2
)
SELECT h.session_id AS told_session_id, h.batch_number AS told_batch_number, h.receive_time, h.end_time, r.*
FROM happenings h LEFT JOIN results r ON r.session_id = h.session_id AND r.batch_number = h.batch_number
ORDER BY h.told_at, h.session_id, h.batch_number NULLS LAST, r.capture_end_time, r.chunk_id
"""


@dataclass(frozen=True, slots=True)
class BatchFused:
    batch: BatchOrigin
    results: list[ChunkResult] = field(default_factory=list)


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
    fused: BatchFused | None = None
    async for row in tx.driver.cursor(_HAPPENINGS, user_id, first_session_id, prefetch=_ROWS_AT_ONCE):
        who, number = (user_id, anonymous_id, row["told_session_id"]), row["told_batch_number"]
        if fused is not None and (fused.batch.session_id, fused.batch.batch_number) != (who[-1], number):
            yield fused
            fused = None
        if number is None:
            yield SessionEnd(*who, row["end_time"], row["receive_time"])
            continue
        fused = fused or BatchFused(BatchOrigin(*who, row["receive_time"], number))
        fused.results.append(result_in(row))
    if fused is not None:
        yield fused
