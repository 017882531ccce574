"""model_versions: every version that a result may name, whole, so that a replay needs no file. model_switches: which
of them makes results, from when on. model_head: one row, by which those who fuse and who switch wait for one another.
"""

from collections.abc import Collection, Sequence
from datetime import datetime

import asyncpg
import orjson

from libs.common.db.database import Transaction
from services.fusion.science.model import ModelDocument, ModelError, parse_model
from services.fusion.versions import Switch

_SWITCH_COLUMNS = "number, version, effect_time, actor, switch_time"
# Whoever waits for the row sees how many switches there are once it is theirs.
_ADVANCE = """
UPDATE model_head SET receive_time = greatest(receive_time, $1) WHERE id = 1 RETURNING switches
"""
_LOCK = "SELECT receive_time, clock_timestamp() AS now FROM model_head WHERE id = 1 FOR UPDATE"
_APPEND = f"""
INSERT INTO model_switches ({_SWITCH_COLUMNS}) VALUES ($1, $2, $3, $4, $5)
"""  # noqa: S608 - our own names


async def register(tx: Transaction, document: ModelDocument) -> bool:
    """Whether the version is new. ModelError when other content was registered under it."""
    version = document.model.version
    inserted = await tx.driver.fetchval(
        "INSERT INTO model_versions (version, checksum, document) VALUES ($1, $2, $3)"
        " ON CONFLICT (version) DO NOTHING RETURNING version",
        version,
        document.checksum,
        orjson.dumps(document.document).decode(),
    )
    registered = await tx.driver.fetchval("SELECT checksum FROM model_versions WHERE version = $1", version)
    if registered != document.checksum:
        raise ModelError(f"model {version!r}: results were made with other content under this version")
    return inserted is not None


async def read_others(tx: Transaction, known: Collection[str] = ()) -> Sequence[ModelDocument]:
    """All but the known. ModelError when what is stored is not what was registered."""
    rows = await tx.driver.fetch(
        "SELECT version, checksum, document FROM model_versions WHERE version <> ALL($1) ORDER BY create_time, version",
        list(known),
    )
    return [_document_in(row) for row in rows]


async def read_one(tx: Transaction, version: str) -> ModelDocument | None:
    """ModelError when what is stored is not what was registered."""
    row = await tx.driver.fetchrow("SELECT version, checksum, document FROM model_versions WHERE version = $1", version)
    return None if row is None else _document_in(row)


async def read_switches(tx: Transaction) -> Sequence[Switch]:
    """By number."""
    rows = await tx.driver.fetch(f"SELECT {_SWITCH_COLUMNS} FROM model_switches ORDER BY number")  # noqa: S608
    return [Switch(*row) for row in rows]


async def advance_head(tx: Transaction, receive_time: datetime) -> int:
    """Locks the head, remembers that something received then is fused, and returns how many switches there are.
    ModelError when there is no head, as after a restore of some tables.
    """
    switches: int | None = await tx.driver.fetchval(_ADVANCE, receive_time)
    if switches is None:
        raise ModelError("model_head is empty")
    return switches


async def lock_head(tx: Transaction) -> tuple[datetime, datetime]:
    """Waits for those who fuse; returns when the newest of what is fused was received, and the time."""
    row = await tx.driver.fetchrow(_LOCK)
    assert row is not None
    return row["receive_time"], row["now"]


async def append_switch(tx: Transaction, switch: Switch) -> None:
    """The head is locked."""
    await tx.driver.execute(
        _APPEND, switch.number, switch.version, switch.effect_time, switch.actor, switch.switch_time
    )
    await tx.driver.execute("UPDATE model_head SET switches = $1 WHERE id = 1", switch.number)


def _document_in(row: "asyncpg.Record") -> ModelDocument:
    document = parse_model(row["document"])
    if (document.model.version, document.checksum) != (row["version"], row["checksum"]):
        raise ModelError(f"model {row['version']!r}: what is stored is not what was registered")
    return document
