"""People and their sessions, for research: sessions by idx_sessions_user_id, everything else by primary keys."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from libs.common.db.database import Transaction
from libs.common.people import Person

# Of whom the last word may wait in parked_events, nobody knows it.
_CONSENTS = """
SELECT user_id FROM research_consents AS c WHERE user_id = ANY(:user_ids) AND granted
    AND NOT EXISTS (SELECT FROM parked_events AS p WHERE p.source = 'identity' AND p.user_id = c.user_id)
"""
PEOPLE = """
SELECT user_id, anonymous_id FROM users AS u WHERE (CAST(:after AS uuid) IS NULL OR user_id > :after)
    AND EXISTS (SELECT FROM sessions AS s WHERE s.user_id = u.user_id AND started_at >= :start AND started_at < :end)
ORDER BY user_id LIMIT :limit
"""
_COUNT_PEOPLE = "SELECT count(DISTINCT user_id) FROM sessions WHERE started_at >= :start AND started_at < :end"
SESSIONS = """
SELECT id, started_at FROM sessions WHERE user_id = :user_id AND started_at < :end
    AND (started_at, id) > (:after_start, :after_id)
ORDER BY started_at, id LIMIT :limit
"""
_FIRST_ID = UUID(int=0)


class SessionStart(NamedTuple):
    session_id: UUID
    start: datetime


async def consenting(tx: Transaction, user_ids: Collection[UUID]) -> set[UUID]:
    """Those of them who are known to consent."""
    return {row.user_id for row in await tx.fetch_all(_CONSENTS, {"user_ids": list(user_ids)})}


async def count_people(tx: Transaction, start: datetime, end: datetime) -> int:
    count: int = await tx.scalar(_COUNT_PEOPLE, {"start": start, "end": end})
    return count


async def people(tx: Transaction, start: datetime, end: datetime, after: UUID | None, limit: int) -> Sequence[Person]:
    """Who has sessions that start in the period, by user_id."""
    parameters = {"start": start, "end": end, "after": after, "limit": limit}
    return [Person(row.user_id, row.anonymous_id) for row in await tx.fetch_all(PEOPLE, parameters)]


async def sessions(
    tx: Transaction, user_id: UUID, start: datetime, end: datetime, after: SessionStart | None, limit: int
) -> Sequence[SessionStart]:
    """Oldest first."""
    last = after or SessionStart(_FIRST_ID, start)
    place = {"after_start": last.start, "after_id": last.session_id}
    rows = await tx.fetch_all(SESSIONS, {"user_id": user_id, "end": end, "limit": limit, **place})
    return [SessionStart(row.id, row.started_at) for row in rows]
