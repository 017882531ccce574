"""session_states and session_ends, both by session_id."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from libs.common.db.database import Transaction
from services.fusion.fold import Standing
from services.fusion.records import SessionEnd, SessionRisk
from services.fusion.science.session_state import LevelCause, SessionState
from services.fusion.store import silences
from services.fusion.store.result_rows import result_in
from services.fusion.vocabulary import Direction, Level

COLUMNS = (
    "session_id",
    "user_id",
    "chunks",
    "capture_end_time",
    "chunk_id",
    "level",
    "state_logit",
    "state_seconds",
    "session_score",
    "level_cause",
    "critical_until",
    "high_until",
    "leading_reason",
    "judged_chunk_ids",
    "judged_directions",
)
_UPSERT = f"""
INSERT INTO session_states ({", ".join(COLUMNS)})
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
ON CONFLICT (session_id) DO UPDATE SET chunks = excluded.chunks, capture_end_time = excluded.capture_end_time,
    chunk_id = excluded.chunk_id, level = excluded.level, state_logit = excluded.state_logit,
    state_seconds = excluded.state_seconds, session_score = excluded.session_score, level_cause = excluded.level_cause,
    critical_until = excluded.critical_until, high_until = excluded.high_until,
    leading_reason = excluded.leading_reason, judged_chunk_ids = excluded.judged_chunk_ids,
    judged_directions = excluded.judged_directions
"""  # noqa: S608 - our own names
_RISK = """
SELECT r.*, u.anonymous_id, s.chunks AS session_chunks, e.session_id IS NOT NULL AS settled
FROM session_states s JOIN users u USING (user_id)
JOIN fusion_results r ON r.session_id = s.session_id AND r.chunk_id = s.chunk_id
LEFT JOIN session_ends e ON e.session_id = s.session_id
WHERE s.session_id = $1
"""
_COUNT = """
SELECT coalesce(sum(sessions), 0)::bigint AS sessions, count(*) AS people FROM (
    SELECT count(*) AS sessions FROM session_states
    WHERE session_id BETWEEN $1 AND $2 AND ($3::uuid IS NULL OR user_id = $3) GROUP BY user_id
) AS of_each
"""


@dataclass(frozen=True, slots=True)
class SessionTail:
    """A session's newest chunk by capture, and where the session stands after it."""

    session_id: UUID
    user_id: UUID
    chunks: int
    chunk_id: UUID
    capture_end_time: datetime
    standing: Standing

    @property
    def key(self) -> tuple[datetime, UUID]:
        return (self.capture_end_time, self.chunk_id)


async def lock_table(tx: Transaction) -> None:
    """Before anything is read of partitions by who writes sessions afterwards: who makes partitions locks both in this
    order.
    """
    await tx.driver.execute("LOCK TABLE session_states IN ROW EXCLUSIVE MODE")


async def read_tails(tx: Transaction, session_ids: Collection[UUID]) -> Mapping[UUID, SessionTail]:
    """Of those of which something is fused."""
    rows = await tx.driver.fetch("SELECT * FROM session_states WHERE session_id = ANY($1::uuid[])", session_ids)
    return {row["session_id"]: _tail_in(row) for row in rows}


async def write_tails(tx: Transaction, tails: Iterable[SessionTail]) -> None:
    await tx.driver.executemany(_UPSERT, [row_of(tail) for tail in tails])


async def write_end(tx: Transaction, end: SessionEnd) -> None:
    await tx.driver.execute(
        "INSERT INTO session_ends (session_id, user_id, end_time, receive_time) VALUES ($1, $2, $3, $4)"
        " ON CONFLICT (session_id) DO NOTHING",
        end.session_id,
        end.user_id,
        end.end_time,
        end.receive_time,
    )


async def read_ends(tx: Transaction, session_ids: Collection[UUID]) -> dict[UUID, SessionEnd]:
    """Of those that have ended."""
    if not session_ids:
        return {}
    rows = await tx.driver.fetch(
        "SELECT e.*, u.anonymous_id FROM session_ends e JOIN users u USING (user_id) WHERE session_id = ANY($1)",
        session_ids,
    )
    return {
        row["session_id"]: SessionEnd(
            row["user_id"], row["anonymous_id"], row["session_id"], row["end_time"], row["receive_time"]
        )
        for row in rows
    }


async def read_owner(tx: Transaction, session_id: UUID) -> UUID | None:
    """The person of a session of which something is fused."""
    owner: UUID | None = await tx.driver.fetchval(
        "SELECT user_id FROM session_states WHERE session_id = $1", session_id
    )
    return owner


async def count(tx: Transaction, first: UUID, last: UUID, user_id: UUID | None) -> tuple[int, int]:
    """Sessions and their people, of one person or of everybody, by their ids; by the primary key, or
    idx_session_states_user_id.
    """
    row = await tx.driver.fetchrow(_COUNT, first, last, user_id)
    assert row is not None
    return row["sessions"], row["people"]


async def read_ids(tx: Transaction, user_id: UUID, after: UUID, last: UUID, limit: int) -> Sequence[UUID]:
    """A person's sessions, by id; by idx_session_states_user_id."""
    rows = await tx.driver.fetch(
        "SELECT session_id FROM session_states WHERE user_id = $1 AND session_id > $2 AND session_id <= $3"
        " ORDER BY session_id LIMIT $4",
        user_id,
        after,
        last,
        limit,
    )
    return [row["session_id"] for row in rows]


async def read_risk(tx: Transaction, session_id: UUID) -> SessionRisk | None:
    row = await tx.driver.fetchrow(_RISK, session_id)
    if row is None:
        return None
    return SessionRisk(
        session_id=session_id,
        user_id=row["user_id"],
        anonymous_id=row["anonymous_id"],
        latest=result_in(row),
        chunks=row["session_chunks"],
        settled=row["settled"],
        silences=await silences.read(tx, session_id),
    )


def row_of(tail: SessionTail) -> tuple[Any, ...]:
    """In the order of COLUMNS."""
    state = tail.standing.state
    return (
        tail.session_id,
        tail.user_id,
        tail.chunks,
        tail.capture_end_time,
        tail.chunk_id,
        state.level.label,
        state.evidence_logit,
        state.evidence_seconds,
        state.score,
        state.cause.value,
        state.critical_until,
        state.high_until,
        tail.standing.reason,
        [chunk_id for chunk_id, _ in state.judged],
        [direction for _, direction in state.judged],
    )


# Calling an enum costs as much as reading a column.
_LEVELS = {level.label: level for level in Level}
_CAUSES = {cause.value: cause for cause in LevelCause}
_DIRECTIONS = {int(direction): direction for direction in Direction}


def _tail_in(row: "asyncpg.Record") -> SessionTail:
    state = SessionState(
        evidence_logit=row["state_logit"],
        evidence_seconds=row["state_seconds"],
        score=row["session_score"],
        level=_LEVELS[row["level"]],
        cause=_CAUSES[row["level_cause"]],
        capture_end_time=row["capture_end_time"],
        critical_until=row["critical_until"],
        high_until=row["high_until"],
        judged=tuple(zip(row["judged_chunk_ids"], map(_DIRECTIONS.__getitem__, row["judged_directions"]), strict=True)),
    )
    return SessionTail(
        session_id=row["session_id"],
        user_id=row["user_id"],
        chunks=row["chunks"],
        chunk_id=row["chunk_id"],
        capture_end_time=row["capture_end_time"],
        standing=Standing(state, row["leading_reason"]),
    )
