"""The versions of the model that this slice knows: what it fuses with, and what its results name."""

from libs.common.db.database import Database
from libs.common.rpc.errors import AppError, ErrorKind
from services.fusion.fold import Models
from services.fusion.model import ModelError, parse_model
from services.fusion.models import read_document
from services.fusion.store import models


async def load_models(database: Database, version: str) -> Models:
    """Registers the shipped version and reads all that were ever registered. FAILED_PRECONDITION MODEL_UNUSABLE."""
    try:
        shipped = parse_model(read_document(version))
        if shipped.model.version != version:
            raise ModelError(f"model {version!r}: the file holds {shipped.model.version!r}")
        async with database.transaction() as tx:
            await models.register(tx, shipped)
            registered = await models.read_all(tx)
    except (ModelError, OSError, ValueError) as error:
        raise AppError(ErrorKind.FAILED_PRECONDITION, "MODEL_UNUSABLE", str(error)) from error
    return Models({document.model.version: document.model for document in registered}, shipped.model)
