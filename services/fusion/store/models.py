"""model_versions: every version that a result may name, whole, so that a replay needs no file."""

from collections.abc import Sequence

import orjson

from libs.common.db.database import Transaction
from services.fusion.model import ModelDocument, ModelError, parse_model


async def register(tx: Transaction, document: ModelDocument) -> None:
    """ModelError when other content was registered under this version."""
    version = document.model.version
    await tx.execute(
        "INSERT INTO model_versions (version, checksum, document)"
        " VALUES (:version, :checksum, CAST(:document AS jsonb)) ON CONFLICT (version) DO NOTHING",
        {
            "version": version,
            "checksum": document.checksum,
            "document": orjson.dumps(document.document).decode(),
        },
    )
    registered = await tx.scalar("SELECT checksum FROM model_versions WHERE version = :version", {"version": version})
    if registered != document.checksum:
        raise ModelError(f"model {version!r}: results were made with other content under this version")


async def read_all(tx: Transaction) -> Sequence[ModelDocument]:
    """ModelError when what is stored is not what was registered."""
    rows = await tx.fetch_all("SELECT CAST(document AS text) AS document FROM model_versions")
    return [parse_model(orjson.loads(row.document)) for row in rows]
