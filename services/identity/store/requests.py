"""Which requests were carried out, so that a repeated one isn't carried out twice. Kept as long as what they made."""

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, insert, select

from libs.common.db.database import Transaction
from services.identity.tables import REQUEST_IDS


@dataclass(frozen=True)
class Request:
    """`content_digest` is keyed and holds no password. `user_id` is the person whom the request made or concerned."""

    caller_id: UUID
    request_id: UUID
    user_id: UUID
    content_digest: bytes = field(repr=False)


async def find(tx: Transaction, caller_id: UUID, request_id: UUID) -> Request | None:
    """Until the transaction ends, nobody else finds or adds this request: two at once are one after the other."""
    await tx.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"{caller_id}{request_id}", 0))))
    row = await tx.fetch_one(
        select(REQUEST_IDS.c.user_id, REQUEST_IDS.c.content_digest).where(
            REQUEST_IDS.c.caller_id == caller_id, REQUEST_IDS.c.request_id == request_id
        )
    )
    return None if row is None else Request(caller_id, request_id, row.user_id, row.content_digest)


async def add(tx: Transaction, request: Request, now: datetime) -> None:
    await tx.execute(
        insert(REQUEST_IDS).values(
            caller_id=request.caller_id,
            request_id=request.request_id,
            user_id=request.user_id,
            content_digest=request.content_digest,
            created_at=now,
        )
    )
