"""case_outcomes: by alert_id, by time through idx_case_outcomes_close_time, by session through
idx_case_outcomes_session_id.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from libs.common.db.database import Transaction
from services.fusion.outcomes import CaseOutcome, Reason
from services.fusion.vocabulary import Level

EXPIRED_AT_ONCE = 200

_INSERT = """
INSERT INTO case_outcomes (alert_id, user_id, reason, noise_reason, level, score, open_time, close_time, session_id,
    chunk_id, session_ids, patterns_alarmed)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
ON CONFLICT (alert_id) DO NOTHING
"""
_CLOSED = """
SELECT o.*, u.anonymous_id FROM case_outcomes o JOIN users u USING (user_id)
WHERE close_time >= $1 AND close_time < $2 ORDER BY close_time DESC, alert_id LIMIT $3
"""
_EXPIRED = """
DELETE FROM case_outcomes WHERE alert_id IN (
    SELECT alert_id FROM case_outcomes WHERE session_id < $1 ORDER BY session_id LIMIT $2
) RETURNING session_id
"""


async def write(tx: Transaction, outcomes: Sequence[CaseOutcome]) -> None:
    """A case is closed once: told again, it is the same."""
    await tx.driver.executemany(_INSERT, [_row_of(one) for one in outcomes])


async def read_closed(tx: Transaction, start: datetime, end: datetime, limit: int) -> Sequence[CaseOutcome]:
    """Closed from start on and before end, newest first."""
    return [_outcome_in(row) for row in await tx.driver.fetch(_CLOSED, start, end, limit)]


async def expire(tx: Transaction, before: UUID) -> Sequence[UUID]:
    """Deletes some cases that sessions opened whose id is less, and returns the session of each."""
    return [row["session_id"] for row in await tx.driver.fetch(_EXPIRED, before, EXPIRED_AT_ONCE)]


def _row_of(one: CaseOutcome) -> tuple[Any, ...]:
    return (
        one.alert_id,
        one.user_id,
        one.reason.value,
        one.noise_reason,
        one.level.label,
        one.score,
        one.open_time,
        one.close_time,
        one.session_id,
        one.chunk_id,
        one.session_ids,
        one.patterns_alarmed,
    )


def _outcome_in(row: "asyncpg.Record") -> CaseOutcome:
    return CaseOutcome(
        alert_id=row["alert_id"],
        user_id=row["user_id"],
        anonymous_id=row["anonymous_id"],
        reason=Reason(row["reason"]),
        noise_reason=row["noise_reason"],
        level=Level[row["level"].upper()],
        score=row["score"],
        open_time=row["open_time"],
        close_time=row["close_time"],
        session_id=row["session_id"],
        chunk_id=row["chunk_id"],
        session_ids=tuple(row["session_ids"]),
        patterns_alarmed=row["patterns_alarmed"],
    )
