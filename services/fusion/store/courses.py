"""When sessions first had each score. session_states are walked by their key, a UUIDv7 and so by time; the results of
each session by idx_fusion_results_capture.
"""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

import asyncpg

from libs.common.db.database import Transaction
from quietus_edge.ids import first_uuid7
from services.fusion.thresholds import Course

# Results that are read for one answer at most.
MOST_CHUNKS = 300_000
MOST_SESSIONS = 5_000
MOST_COUNTED = 1_000_000

# The newest first, for as long as their chunks are few enough.
_NEWEST = """
SELECT session_id FROM (
    SELECT session_id, sum(chunks) OVER (ORDER BY session_id DESC) AS chunks_through FROM (
        SELECT session_id, chunks FROM session_states WHERE session_id >= $1 AND session_id < $2
        ORDER BY session_id DESC LIMIT $3
    ) AS newest
) AS counted WHERE chunks_through <= $4
"""
_AMONG = """
SELECT session_id FROM (
    SELECT session_id, sum(chunks) OVER (ORDER BY session_id DESC) AS chunks_through FROM session_states
    WHERE session_id = ANY($1::uuid[])
) AS counted WHERE chunks_through <= $2
"""
_COUNT = """
SELECT count(*) FROM (SELECT FROM session_states WHERE session_id >= $1 AND session_id < $2 LIMIT $3) AS counted
"""
# Only where something was reached for the first time.
_COURSES = """
SELECT wanted.session_id, s.user_id, course.*
FROM unnest($1::uuid[]) AS wanted (session_id) JOIN session_states s USING (session_id)
CROSS JOIN LATERAL (
    SELECT capture_end_time, chunk_id, session_score, warning, crisis, is_comparable FROM (
        SELECT capture_end_time, chunk_id, session_score,
            high_until IS NOT NULL AS warning, critical_until IS NOT NULL AS crisis,
            max(session_score) OVER before AS highest_before,
            bool_or(high_until IS NOT NULL) OVER before AS warning_before,
            bool_or(critical_until IS NOT NULL) OVER before AS crisis_before,
            bool_and(model_version = ANY($2::text[])) OVER () AS is_comparable
        FROM fusion_results r WHERE r.session_id = wanted.session_id
        WINDOW before AS (ORDER BY capture_end_time, chunk_id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
    ) AS chunk
    WHERE highest_before IS NULL OR session_score > highest_before
        OR (warning AND NOT warning_before) OR (crisis AND NOT crisis_before)
) AS course
ORDER BY wanted.session_id, course.capture_end_time, course.chunk_id
"""


class TooLongError(Exception):
    """The database took longer than an answer may."""


@dataclass(slots=True)
class _Walk:
    """A course while its rows are read."""

    user_id: UUID
    is_comparable: bool
    scores: list[float] = field(default_factory=list)
    times: list[datetime] = field(default_factory=list)
    warning_time: datetime | None = None
    crisis_time: datetime | None = None

    def take(self, row: "asyncpg.Record") -> None:
        moment = row["capture_end_time"]
        if not self.scores or row["session_score"] > self.scores[-1]:
            self.scores.append(row["session_score"])
            self.times.append(moment)
        if row["warning"] and self.warning_time is None:
            self.warning_time = moment
        if row["crisis"] and self.crisis_time is None:
            self.crisis_time = moment

    def course(self, session_id: UUID) -> Course:
        return Course(
            session_id,
            self.user_id,
            self.scores,
            self.times,
            self.warning_time,
            self.crisis_time,
            self.is_comparable,
        )


@asynccontextmanager
async def at_most(tx: Transaction, seconds: float) -> AsyncIterator[None]:
    """Each statement inside. Raises TooLongError."""
    await tx.driver.execute("SELECT set_config('statement_timeout', $1, true)", f"{seconds * 1000:.0f}")
    try:
        yield
    except asyncpg.QueryCanceledError as error:
        raise TooLongError from error


async def count_started(tx: Transaction, start: datetime, end: datetime) -> int:
    """Sessions of which something is fused; of very many, MOST_COUNTED."""
    count: int = await tx.driver.fetchval(_COUNT, first_uuid7(start), first_uuid7(end), MOST_COUNTED)
    return count


async def read_started(
    tx: Transaction, start: datetime, end: datetime, versions: Collection[str]
) -> Mapping[UUID, Course]:
    """Of the newest sessions that started from start on and before end, as many as an answer may look at."""
    bounds = (first_uuid7(start), first_uuid7(end), MOST_SESSIONS, MOST_CHUNKS)
    return await _read(tx, await tx.driver.fetch(_NEWEST, *bounds), versions)


async def read_among(
    tx: Transaction, session_ids: Collection[UUID], versions: Collection[str]
) -> Mapping[UUID, Course]:
    """The same of these sessions. One of which nothing is stored is absent."""
    return await _read(tx, await tx.driver.fetch(_AMONG, list(session_ids), MOST_CHUNKS), versions)


async def _read(
    tx: Transaction, sessions: "Sequence[asyncpg.Record]", versions: Collection[str]
) -> Mapping[UUID, Course]:
    session_ids = [row["session_id"] for row in sessions]
    walks: dict[UUID, _Walk] = {}
    for row in await tx.driver.fetch(_COURSES, session_ids, list(versions)):
        walk = walks.setdefault(row["session_id"], _Walk(row["user_id"], row["is_comparable"]))
        walk.take(row)
    return {session_id: walk.course(session_id) for session_id, walk in walks.items()}
