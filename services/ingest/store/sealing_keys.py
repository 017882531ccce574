"""Sealing keys: one a person, found by the primary key."""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from libs.common.db.database import Transaction
from quietus_edge.sealing import SealingKey
from services.ingest.tables import SEALING_KEYS


async def put(tx: Transaction, user_id: UUID, key: SealingKey, register_time: datetime) -> None:
    """The newest registration stands, in whichever order they are told."""
    row = {"key_id": key.key_id, "public_key": key.public_key, "register_time": register_time}
    statement = insert(SEALING_KEYS).values(user_id=user_id, **row)
    await tx.execute(
        statement.on_conflict_do_update(
            index_elements=[SEALING_KEYS.c.user_id],
            set_=row,
            where=SEALING_KEYS.c.register_time <= statement.excluded.register_time,
        )
    )


async def find(tx: Transaction, user_ids: Collection[UUID]) -> dict[UUID, SealingKey]:
    """By user_id; who has no key is left out."""
    statement = select(SEALING_KEYS).where(SEALING_KEYS.c.user_id.in_(user_ids))
    return {row.user_id: SealingKey(row.key_id, row.public_key) for row in await tx.fetch_all(statement)}
