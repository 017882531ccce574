"""Further versions of the model."""

from typing import Any

from libs.common.db.database import Database
from services.fusion.science.model import ModelDocument, parse_model
from services.fusion.service.switching import ModelSwitching
from services.fusion.store import models
from tests.fusion.models_folder import candidate


def document(version: str, **changes: Any) -> dict[str, Any]:
    """The shipped model under another name; `session__enter={...}` changes a value of a section."""
    return candidate(version, {path.replace("__", "."): value for path, value in changes.items()})


async def register(database: Database, version: str, **changes: Any) -> ModelDocument:
    """Without a trace in the audit log."""
    parsed = parse_model(document(version, **changes))
    async with database.transaction() as tx:
        await models.register(tx, parsed)
    return parsed


async def switch(database: Database, to: ModelDocument) -> None:
    switching = ModelSwitching(database)
    replaces = (await switching.listing()).in_force
    await switching.switch("admin:test", to.model.version, to.checksum, replaces)
