"""Senders of sessions: found by the primary key (session_id, sender_id)."""

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, insert, select, update

from libs.common.db.database import AnyRow, Transaction
from services.ingest.senders import Sender
from services.ingest.sessions import SessionKey
from services.ingest.tables import SESSION_SENDERS

_C = SESSION_SENDERS.c
# One after the other in the same order everywhere, lest two processes wait for each other.
_HEARD = """
UPDATE session_senders s SET last_receive_time = greatest(s.last_receive_time, $3)
FROM (SELECT session_id, sender_id FROM session_senders
      JOIN unnest($1::uuid[], $2::uuid[]) AS heard (session_id, sender_id) USING (session_id, sender_id)
      ORDER BY session_id, sender_id FOR NO KEY UPDATE) heard
WHERE s.session_id = heard.session_id AND s.sender_id = heard.sender_id
"""


async def find(tx: Transaction, session_id: UUID, sender_id: UUID) -> Sender | None:
    row = await tx.fetch_one(select(SESSION_SENDERS).where(_C.session_id == session_id, _C.sender_id == sender_id))
    return None if row is None else _sender(row)


async def of_session(tx: Transaction, session_id: UUID) -> Sequence[Sender]:
    """In the order of their ordinals."""
    statement = select(SESSION_SENDERS).where(_C.session_id == session_id).order_by(_C.ordinal)
    return [_sender(row) for row in await tx.fetch_all(statement)]


async def count(tx: Transaction, session_id: UUID) -> int:
    total: int = await tx.scalar(select(func.count()).where(_C.session_id == session_id))
    return total


async def add(tx: Transaction, session: SessionKey, sender: Sender) -> None:
    """The session has to be locked."""
    await tx.execute(
        insert(SESSION_SENDERS).values(
            session_id=session.session_id,
            user_id=session.user_id,
            sender_id=sender.sender_id,
            device_id=sender.device_id,
            ordinal=sender.ordinal,
            receive_time=sender.receive_time,
            last_receive_time=sender.last_receive_time,
        )
    )


async def heard_one(tx: Transaction, session_id: UUID, sender_id: UUID, now: datetime) -> None:
    statement = update(SESSION_SENDERS).where(_C.session_id == session_id, _C.sender_id == sender_id)
    await tx.execute(statement.values(last_receive_time=func.greatest(_C.last_receive_time, now)))


async def heard(tx: Transaction, senders: Collection[tuple[UUID, UUID]], now: datetime) -> None:
    """Of these (session_id, sender_id) something was heard at `now`."""
    await tx.driver.execute(_HEARD, [one for one, _ in senders], [other for _, other in senders], now)


async def last_heard(tx: Transaction, session_id: UUID) -> datetime | None:
    """When anything was last heard of a session; None when nobody has sent."""
    last: datetime | None = await tx.scalar(select(func.max(_C.last_receive_time)).where(_C.session_id == session_id))
    return last


def _sender(row: AnyRow) -> Sender:
    return Sender(row.sender_id, row.device_id, row.ordinal, row.receive_time, row.last_receive_time)
