"""API keys of devices and services, found by key_hash or device_id (both unique)."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import insert, select, update

from libs.common.db.database import Transaction
from services.identity.api_keys import KeyKind, NewApiKey
from services.identity.tables import API_KEYS


@dataclass(frozen=True)
class DeviceHolder:
    user_id: UUID
    device_id: UUID


@dataclass(frozen=True)
class ServiceHolder:
    service: str


KeyHolder = DeviceHolder | ServiceHolder


async def add(tx: Transaction, key_id: UUID, key: NewApiKey, holder: KeyHolder, *, name: str, now: datetime) -> None:
    await tx.execute(
        insert(API_KEYS).values(
            id=key_id, key_hash=key.key_hash, key_prefix=key.prefix, name=name, created_at=now, **_columns(holder)
        )
    )


async def use(tx: Transaction, key_hash: str, now: datetime) -> KeyHolder | None:
    """Counts one use and tells the holder; None when the key is unknown, revoked or expired."""
    valid = API_KEYS.c.active & (API_KEYS.c.expires_at.is_(None) | (API_KEYS.c.expires_at > now))
    row = await tx.fetch_one(
        update(API_KEYS)
        .where(API_KEYS.c.key_hash == key_hash, valid)
        .values(last_used_at=now, request_count=API_KEYS.c.request_count + 1)
        .returning(API_KEYS.c.kind, API_KEYS.c.user_id, API_KEYS.c.device_id, API_KEYS.c.service)
    )
    if row is None:
        return None
    return ServiceHolder(row.service) if row.kind == KeyKind.SERVICE else DeviceHolder(row.user_id, row.device_id)


async def owner_of_device(tx: Transaction, device_id: UUID) -> UUID | None:
    owner: UUID | None = await tx.scalar(select(API_KEYS.c.user_id).where(API_KEYS.c.device_id == device_id))
    return owner


async def revoke_device(tx: Transaction, device_id: UUID) -> bool:
    """False when it was revoked before."""
    statement = update(API_KEYS).where(API_KEYS.c.device_id == device_id, API_KEYS.c.active).values(active=False)
    return await tx.fetch_one(statement.returning(API_KEYS.c.id)) is not None


def _columns(holder: KeyHolder) -> dict[str, object]:
    match holder:
        case DeviceHolder(user_id, device_id):
            return {"kind": KeyKind.DEVICE, "user_id": user_id, "device_id": device_id}
        case ServiceHolder(service):
            return {"kind": KeyKind.SERVICE, "service": service}
