"""Logins and attempts at them, pruned by idx_login_sessions_expires_at and idx_login_attempts_full_at."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import delete, insert, update
from sqlalchemy.dialects.postgresql import insert as upsert

from libs.common.db.database import Transaction
from services.identity.tables import LOGIN_ATTEMPTS, LOGIN_SESSIONS


async def lock_attempts(tx: Transaction, email_hash: str, now: datetime) -> datetime:
    """When the bucket of this address is full again; `now` for a new one. Locks it until the transaction ends."""
    new = upsert(LOGIN_ATTEMPTS).values(email_hash=email_hash, full_at=now)
    # Unlike DO NOTHING, an update that changes nothing returns the row and locks it.
    same = new.on_conflict_do_update(
        index_elements=[LOGIN_ATTEMPTS.c.email_hash], set_={"full_at": LOGIN_ATTEMPTS.c.full_at}
    )
    full_at: datetime = await tx.scalar(same.returning(LOGIN_ATTEMPTS.c.full_at))
    return full_at


async def keep_attempts(tx: Transaction, email_hash: str, full_at: datetime) -> None:
    await tx.execute(update(LOGIN_ATTEMPTS).where(LOGIN_ATTEMPTS.c.email_hash == email_hash).values(full_at=full_at))


async def forget_attempts(tx: Transaction, email_hash: str) -> None:
    await tx.execute(delete(LOGIN_ATTEMPTS).where(LOGIN_ATTEMPTS.c.email_hash == email_hash))


async def add_session(tx: Transaction, session_id: UUID, user_id: UUID, now: datetime, expire_time: datetime) -> None:
    await tx.execute(
        insert(LOGIN_SESSIONS).values(id=session_id, user_id=user_id, created_at=now, expires_at=expire_time)
    )


async def prune(tx: Transaction, now: datetime) -> None:
    """Drops sessions that expired and buckets that are full."""
    await tx.execute(delete(LOGIN_SESSIONS).where(LOGIN_SESSIONS.c.expires_at < now))
    await tx.execute(delete(LOGIN_ATTEMPTS).where(LOGIN_ATTEMPTS.c.full_at < now))
