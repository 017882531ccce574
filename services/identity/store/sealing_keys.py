"""Keys that seal what a person says, one a person (primary key user_id). Seed 002 stores them as text: base64."""

import base64
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert as upsert

from libs.common.db.database import AnyRow, Transaction
from services.identity.tables import ENCRYPTION_KEYS


@dataclass(frozen=True)
class SealingKey:
    """`wrapped_private_key` opens only with the person's passphrase, which never leaves the device."""

    key_id: UUID
    public_key: bytes
    wrapped_private_key: bytes = field(repr=False)
    salt: bytes = field(repr=False)


async def add(tx: Transaction, user_id: UUID, key: SealingKey, now: datetime) -> bool:
    """False when the person has a key already, this or another."""
    statement = upsert(ENCRYPTION_KEYS).values(
        user_id=user_id,
        key_id=key.key_id,
        public_key=_text(key.public_key),
        private_key_encrypted=_text(key.wrapped_private_key),
        salt=_text(key.salt),
        created_at=now,
    )
    returning = statement.on_conflict_do_nothing(index_elements=[ENCRYPTION_KEYS.c.user_id]).returning(
        ENCRYPTION_KEYS.c.user_id
    )
    return await tx.fetch_one(returning) is not None


async def of_person(tx: Transaction, user_id: UUID) -> SealingKey | None:
    row = await tx.fetch_one(select(ENCRYPTION_KEYS).where(ENCRYPTION_KEYS.c.user_id == user_id))
    if row is None:
        return None
    return SealingKey(row.key_id, public_key_of(row), _bytes(row.private_key_encrypted), _bytes(row.salt))


def public_key_of(row: AnyRow) -> bytes:
    return _bytes(row.public_key)


def _text(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _bytes(value: str) -> bytes:
    return base64.b64decode(value)
