"""The audit log of a slice: append-only, in the transaction it speaks of, chained by hash.

Each row hashes the row before it, so that a changed, removed or reordered row breaks the chain; the head, a single
row, keeps the newest hash, so that a removed end does too. The chain names a person by HMAC(the person's salt, user_id)
alone: erasure nulls the column and deletes the salt, and the chain still verifies while nobody can tell whom it names.
"""

import hashlib
import hmac
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    Index,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

if TYPE_CHECKING:
    from libs.common.db.database import AnyRow, Transaction

FIRST_HASH = bytes(32)

MetadataValue = str | int | bool | None


class ChainBrokenError(Exception):
    """The log is not what was written; the text names the first row that doesn't fit."""


@dataclass(frozen=True, slots=True)
class AuditEntry:
    user_id: UUID | None = field(repr=False)
    actor: str
    action: str
    resource_type: str
    resource_id: str | None
    metadata: Mapping[str, MetadataValue]
    created_at: datetime


async def append_audit(
    tx: "Transaction",
    *,
    user_id: UUID | None,
    actor: str,
    action: str,
    resource_type: str,
    resource_id: str | UUID | None = None,
    metadata: Mapping[str, MetadataValue] | None = None,
) -> None:
    """Queued, and written right before the commit: the head is locked for as short as it can be.

    `user_id` is the person concerned; `actor` is who did it, such as 'user:<anonymous_id>' or 'service:fusion', at most
    128 characters. `action` and `resource_type` have at most 64. Nothing in `metadata` may be a person's.
    """
    resource = None if resource_id is None else str(resource_id)
    tx.audit_entries.append(
        AuditEntry(user_id, actor, action, resource_type, resource, dict(metadata or {}), datetime.now(UTC))
    )


async def write(tx: "Transaction", entries: Sequence[AuditEntry]) -> None:
    """Takes the salts first, in one order, and the head last."""
    people = sorted({entry.user_id for entry in entries if entry.user_id is not None})
    salts = {user_id: await _salt(tx, user_id) for user_id in people}
    for entry in entries:
        person_hash = None if entry.user_id is None else _person_hash(salts[entry.user_id], entry.user_id)
        await tx.execute(
            _APPEND,
            {
                "user_id": entry.user_id,
                "person_hash": person_hash,
                "actor": entry.actor,
                "action": entry.action,
                "resource_type": entry.resource_type,
                "resource_id": entry.resource_id,
                "metadata": orjson.dumps(entry.metadata).decode() if entry.metadata else None,
                "created_at": entry.created_at,
                "content": _content(entry, person_hash),
            },
        )


async def verify_chain(tx: "Transaction") -> int:
    """Reads the whole log and returns how many rows it holds. Raises ChainBrokenError."""
    expected, count = FIRST_HASH, 0
    salts = {row.user_id: row.salt for row in await tx.fetch_all("SELECT user_id, salt FROM audit_salts")}
    async with tx.connection.stream(text("SELECT * FROM audit_logs ORDER BY id")) as rows:
        async for row in rows:
            expected = _checked_hash(row, expected, salts)
            count += 1
    if await tx.scalar("SELECT hash FROM audit_head") != expected:
        raise ChainBrokenError("the end of the log is missing")
    return count


def add_to(metadata: MetaData) -> None:
    """The tables of the audit log, in the metadata's schema."""
    Table(
        "audit_logs",
        metadata,
        Column("id", BigInteger, primary_key=True),
        Column("user_id", Uuid),
        Column("person_hash", LargeBinary),
        Column("actor", String(128), nullable=False),
        Column("action", String(64), nullable=False),
        Column("resource_type", String(64), nullable=False),
        Column("resource_id", String(128)),
        Column("metadata", JSONB),
        Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
        Column("previous_hash", LargeBinary, nullable=False),
        Column("hash", LargeBinary, nullable=False, unique=True),
        Index("idx_audit_logs_user_id", "user_id", text("created_at DESC")),
        Index("idx_audit_logs_created_at", text("created_at DESC")),
    )
    Table(
        "audit_salts",
        metadata,
        Column("user_id", Uuid, primary_key=True),
        Column("salt", LargeBinary, nullable=False),
    )
    Table(
        "audit_head",
        metadata,
        Column("id", SmallInteger, primary_key=True, autoincrement=False),
        Column("hash", LargeBinary, nullable=False),
        CheckConstraint("id = 1", name="one_head"),
    )


# The CTE waits for the head and sees its newest version; the id is drawn while it is held, so ids follow the chain.
_APPEND = """
WITH head AS MATERIALIZED (SELECT hash FROM audit_head WHERE id = 1 FOR UPDATE),
appended AS (
    INSERT INTO audit_logs (user_id, person_hash, actor, action, resource_type, resource_id, metadata, created_at,
                            previous_hash, hash)
    SELECT CAST(:user_id AS uuid), CAST(:person_hash AS bytea), CAST(:actor AS text), CAST(:action AS text),
           CAST(:resource_type AS text), CAST(:resource_id AS text), CAST(CAST(:metadata AS text) AS jsonb),
           CAST(:created_at AS timestamptz), head.hash, sha256(head.hash || CAST(:content AS bytea))
    FROM head RETURNING hash
)
UPDATE audit_head SET hash = appended.hash FROM appended WHERE id = 1
"""

_SALT = """
INSERT INTO audit_salts (user_id, salt) VALUES (:user_id, :salt)
ON CONFLICT (user_id) DO UPDATE SET salt = audit_salts.salt RETURNING salt
"""


async def _salt(tx: "Transaction", user_id: UUID) -> bytes:
    salt: bytes = await tx.scalar(_SALT, {"user_id": user_id, "salt": secrets.token_bytes(32)})
    return salt


def _person_hash(salt: bytes, user_id: UUID) -> bytes:
    return hmac.digest(salt, user_id.bytes, "sha256")


def _content(entry: AuditEntry, person_hash: bytes | None) -> bytes:
    """What a row says, in one spelling."""
    return orjson.dumps(
        [
            None if person_hash is None else person_hash.hex(),
            entry.actor,
            entry.action,
            entry.resource_type,
            entry.resource_id,
            dict(entry.metadata),
            entry.created_at.astimezone(UTC).isoformat(timespec="microseconds"),
        ],
        option=orjson.OPT_SORT_KEYS,
    )


def _checked_hash(row: "AnyRow", previous_hash: bytes, salts: Mapping[UUID, bytes]) -> bytes:
    entry = AuditEntry(
        row.user_id,
        row.actor,
        row.action,
        row.resource_type,
        row.resource_id,
        _metadata_of(row.metadata),
        row.created_at,
    )
    if row.user_id is not None:
        salt = salts.get(row.user_id)
        if salt is None or row.person_hash != _person_hash(salt, row.user_id):
            raise ChainBrokenError(f"row {row.id} speaks of somebody else")
    computed = hashlib.sha256(previous_hash + _content(entry, row.person_hash)).digest()
    if row.previous_hash != previous_hash or row.hash != computed:
        raise ChainBrokenError(f"row {row.id} does not follow the row before it")
    return computed


def _metadata_of(stored: Any) -> Mapping[str, MetadataValue]:
    if stored is None:
        return {}
    decoded: dict[str, MetadataValue] = orjson.loads(stored) if isinstance(stored, str | bytes) else stored
    return decoded
