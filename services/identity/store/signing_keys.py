"""Keys that sign access tokens. Private keys are sealed under the server's keyring."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy import insert, select

from libs.common.db.database import Transaction
from services.identity.tables import SIGNING_KEYS


@dataclass(frozen=True)
class StoredSigningKey:
    key_id: UUID
    public_key: bytes
    private_key_encrypted: bytes = field(repr=False)


async def add(tx: Transaction, key: StoredSigningKey, now: datetime) -> None:
    await tx.execute(
        insert(SIGNING_KEYS).values(
            key_id=key.key_id,
            public_key=key.public_key,
            private_key_encrypted=key.private_key_encrypted,
            created_at=now,
        )
    )


async def newest_first(tx: Transaction) -> Sequence[StoredSigningKey]:
    rows = await tx.fetch_all(select(SIGNING_KEYS).order_by(SIGNING_KEYS.c.created_at.desc()))
    return [StoredSigningKey(row.key_id, row.public_key, row.private_key_encrypted) for row in rows]


async def lock(tx: Transaction) -> None:
    """Until the transaction ends nobody else adds a key."""
    await tx.execute("LOCK TABLE signing_keys IN SHARE ROW EXCLUSIVE MODE")
