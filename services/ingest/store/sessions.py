"""Sessions: found by id (primary key), listed by idx_sessions_user_id, the active ones by idx_sessions_active."""

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import and_, exists, literal_column, or_, select, tuple_, union, update
from sqlalchemy.dialects.postgresql import insert

from libs.common.db.database import AnyRow, Transaction
from libs.common.pagination import Position
from services.ingest.sessions import EndCause, Session, SessionKey, Status
from services.ingest.tables import METADATA, SESSION_SENDERS, SESSIONS, VOICE_SESSIONS

EXPIRED_AT_ONCE = 500

USERS = METADATA.tables["ingest.users"]
_SELECT = select(SESSIONS, USERS.c.anonymous_id).join(USERS, USERS.c.user_id == SESSIONS.c.user_id)


async def add(tx: Transaction, session: Session) -> bool:
    """False when the id is taken; nothing is written then."""
    statement = (
        insert(SESSIONS)
        .values(
            id=session.key.session_id,
            user_id=session.key.user_id,
            status=session.status,
            started_at=session.start_time,
            receive_time=session.receive_time,
            device_id=session.device_id,
        )
        .on_conflict_do_nothing(index_elements=[SESSIONS.c.id])
        .returning(SESSIONS.c.id)
    )
    return await tx.scalar(statement) is not None


async def find(tx: Transaction, session_id: UUID) -> Session | None:
    return _one(await tx.fetch_one(_SELECT.where(SESSIONS.c.id == session_id)))


async def lock_table(tx: Transaction) -> None:
    """Before anything is read of predictions by who writes sessions afterwards: who makes partitions locks both in this
    order.
    """
    await tx.driver.execute("LOCK TABLE sessions IN ROW EXCLUSIVE MODE")


async def lock(tx: Transaction, session_id: UUID) -> Session | None:
    """For its end: no prediction of it commits from here on before this transaction does."""
    statement = _SELECT.where(SESSIONS.c.id == session_id).with_for_update(of=SESSIONS, key_share=True)
    return _one(await tx.fetch_one(statement))


async def lock_ends(tx: Transaction, session_ids: Collection[bytes]) -> dict[bytes, datetime | None]:
    """For their predictions: none of them ends, and no other process adds to them, before this transaction does.

    When the end of each was received; None while it is active. A session that is missing has been dropped.
    """
    rows = await tx.driver.fetch(_LOCK_ENDS, [session_id.hex() for session_id in session_ids])
    return {session_id.bytes: end for session_id, end in rows}


async def expire(tx: Transaction, before: UUID) -> Sequence[UUID]:
    """Deletes sessions whose id is less, with what is left of them, and returns their ids. Passes over locked ones."""
    return [row["id"] for row in await tx.driver.fetch(_EXPIRE, before, EXPIRED_AT_ONCE)]


_EXPIRE = """
DELETE FROM sessions WHERE id = ANY(ARRAY(
    SELECT id FROM sessions WHERE id < $1 ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED
)) RETURNING id
"""
_LOCK_ENDS = "SELECT id, end_receive_time FROM sessions WHERE id = ANY($1::uuid[]) ORDER BY id FOR NO KEY UPDATE"


async def end(tx: Transaction, session: Session) -> None:
    """The session as it has ended."""
    await tx.execute(
        update(SESSIONS)
        .where(SESSIONS.c.id == session.key.session_id)
        .values(
            status=Status.ENDED,
            ended_at=session.end_time,
            end_receive_time=session.end_receive_time,
            end_cause=session.end_cause,
            updated_at=session.end_receive_time,
        )
    )


async def overdue(
    tx: Transaction, started_before: datetime, heard_before: datetime, after: Position | None, limit: int
) -> Sequence[Position]:
    """Active sessions that the server knows since `started_before`, or of which it has heard nothing since
    `heard_before`; oldest first, by receive_time and id. `after` is the last one of the page before.
    """
    heard = exists().where(
        SESSION_SENDERS.c.session_id == SESSIONS.c.id, SESSION_SENDERS.c.last_receive_time > heard_before
    )
    silent = and_(SESSIONS.c.receive_time <= heard_before, ~heard)
    statement = (
        select(SESSIONS.c.receive_time, SESSIONS.c.id)
        .where(SESSIONS.c.status == literal_column("'ACTIVE'"))
        .where(SESSIONS.c.receive_time <= max(started_before, heard_before))
        .where(or_(SESSIONS.c.receive_time <= started_before, silent))
        .order_by(SESSIONS.c.receive_time, SESSIONS.c.id)
        .limit(limit)
    )
    if after is not None:
        statement = statement.where(tuple_(SESSIONS.c.receive_time, SESSIONS.c.id) > after)
    return [(row.receive_time, row.id) for row in await tx.fetch_all(statement)]


async def page(tx: Transaction, user_id: UUID, before: tuple[datetime, UUID] | None, limit: int) -> Sequence[Session]:
    """Newest start first; `before` is the start and id of the last session of the page before."""
    order = tuple_(SESSIONS.c.started_at, SESSIONS.c.id)
    statement = _SELECT.where(SESSIONS.c.user_id == user_id)
    if before is not None:
        statement = statement.where(order < before)
    statement = statement.order_by(SESSIONS.c.started_at.desc(), SESSIONS.c.id.desc()).limit(limit)
    return [_session(row) for row in await tx.fetch_all(statement)]


async def people(tx: Transaction) -> Sequence[UUID]:
    """Everybody who ever had a session, or a voice session that is still there."""
    statement = union(select(SESSIONS.c.user_id), select(VOICE_SESSIONS.c.user_id))
    return [row.user_id for row in await tx.fetch_all(statement)]


async def by_receive_time(tx: Transaction, user_id: UUID) -> Sequence[Session]:
    statement = _SELECT.where(SESSIONS.c.user_id == user_id).order_by(SESSIONS.c.receive_time, SESSIONS.c.id)
    return [_session(row) for row in await tx.fetch_all(statement)]


def _one(row: AnyRow | None) -> Session | None:
    return None if row is None else _session(row)


def _session(row: AnyRow) -> Session:
    return Session(
        key=SessionKey(row.id, row.user_id, row.anonymous_id),
        status=Status(row.status),
        start_time=row.started_at,
        end_time=row.ended_at,
        receive_time=row.receive_time,
        end_receive_time=row.end_receive_time,
        end_cause=_cause(row),
        device_id=row.device_id,
    )


def _cause(row: AnyRow) -> EndCause | None:
    if row.end_receive_time is None:
        return None
    return EndCause(row.end_cause) if row.end_cause else EndCause.BY_WORD
