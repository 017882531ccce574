"""The versions of the model that this slice knows, and which of them makes results."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime

from libs.common.db.database import Database, Transaction
from libs.common.rpc.errors import AppError, ErrorKind
from services.fusion.fold import ClientBatch, Models
from services.fusion.models import read_document, shipped_versions
from services.fusion.science.model import FusionModel, ModelDocument, ModelError, parse_model
from services.fusion.store import models, results
from services.fusion.versions import Switch, by_version

# As the first switch names who chose the version that a slice begins with.
BY_SETTING = "setting:model"
BY_RESULTS = "results:newest"
THE_BEGINNING = datetime(1, 1, 2, tzinfo=UTC)


async def load_models(database: Database, first_version: str) -> Models:
    """Registers the shipped versions, reads all that were ever registered, and begins an empty slice with the first
    version. One that has results from before switches were recorded stays with the version of the newest.
    FAILED_PRECONDITION MODEL_UNUSABLE.
    """
    try:
        shipped = [_shipped(version) for version in shipped_versions()]
        async with database.transaction() as tx:
            for document in shipped:
                await models.register(tx, document)
            versions = {one.model.version: one.model for one in await models.read_others(tx)}
            switches = await models.read_switches(tx) or await _begin(tx, versions, first_version)
    except (ModelError, OSError, ValueError) as error:
        raise AppError(ErrorKind.FAILED_PRECONDITION, "MODEL_UNUSABLE", str(error)) from error
    return Models(versions, versions[switches[-1].version])


def _shipped(version: str) -> ModelDocument:
    document = parse_model(read_document(version))
    if document.model.version != version:
        raise ModelError(f"model {version!r}: the file holds {document.model.version!r}")
    return document


async def _begin(tx: Transaction, versions: Mapping[str, FusionModel], first_version: str) -> Sequence[Switch]:
    used = await results.newest_version(tx)
    version, actor = (used, BY_RESULTS) if used else (first_version, BY_SETTING)
    if version not in versions:
        raise ModelError(f"model {version!r}: no such version is shipped or registered")
    _, now = await models.lock_head(tx)
    # Another process may have begun while this one waited.
    if not (switches := await models.read_switches(tx)):
        switches = [Switch(1, version, THE_BEGINNING, actor, now)]
        await models.append_switch(tx, switches[0])
    return switches


class Versions(dict[str, FusionModel]):
    """By name. FAILED_PRECONDITION MODEL_NOT_FOUND for one that nobody registered."""

    def __missing__(self, version: str) -> FusionModel:
        raise AppError(ErrorKind.FAILED_PRECONDITION, "MODEL_NOT_FOUND", metadata={"version": version})


class KnownModels:
    """What this process has read of versions and switches. None of them ever changes, so it only looks for new ones."""

    def __init__(self, known: Models) -> None:
        """As long as no switch is recorded, the active one makes every result."""
        self._active = known.active
        self._versions = Versions(known.versions)
        self._switches: Sequence[Switch] = ()

    def known(self, version: str) -> FusionModel | None:
        """What was read so far."""
        return self._versions.get(version)

    async def versions(self, tx: Transaction) -> Mapping[str, FusionModel]:
        """All of them, by name. FAILED_PRECONDITION MODEL_UNUSABLE."""
        try:
            await self._look(tx)
        except ModelError as error:
            raise AppError(ErrorKind.FAILED_PRECONDITION, "MODEL_UNUSABLE", str(error)) from error
        return self._versions

    async def in_force(self, tx: Transaction) -> Models:
        """All versions, and the one that fuses what is received now. FAILED_PRECONDITION MODEL_UNUSABLE."""
        versions, switches = await self.versions(tx), await models.read_switches(tx)
        return Models(versions, versions[switches[-1].version] if switches else self._active)

    async def runs(
        self, tx: Transaction, batches: Sequence[ClientBatch]
    ) -> AsyncIterator[tuple[Models, Sequence[ClientBatch]]]:
        """The batches in their order, with what makes their results.

        Whoever switches waits until this transaction is over, and this one until the switch is: so a switch takes
        effect after everything that is fused and before everything that isn't. UNAVAILABLE MODEL_UNUSABLE: batches
        wait.
        """
        if not batches:
            return
        try:
            if await models.advance_head(tx, max(batch.receive_time for batch in batches)) > len(self._switches):
                await self._look(tx)
                self._switches = await models.read_switches(tx)
        except ModelError as error:
            raise AppError(ErrorKind.UNAVAILABLE, "MODEL_UNUSABLE", str(error)) from error
        if not self._switches:
            yield Models(self._versions, self._active), batches
            return
        for version, run in by_version(self._switches, batches):
            yield Models(self._versions, self._versions[version]), run

    async def _look(self, tx: Transaction) -> None:
        for one in await models.read_others(tx, self._versions):
            self._versions[one.model.version] = one.model


async def candidate(tx: Transaction, version: str, checksum: str) -> ModelDocument:
    """A registered version; the empty checksum isn't checked. NOT_FOUND MODEL_NOT_FOUND. FAILED_PRECONDITION
    MODEL_CHECKSUM_MISMATCH, MODEL_UNUSABLE.
    """
    try:
        found = await models.read_one(tx, version)
    except ModelError as error:
        raise AppError(ErrorKind.FAILED_PRECONDITION, "MODEL_UNUSABLE", str(error)) from error
    if found is None:
        raise AppError(ErrorKind.NOT_FOUND, "MODEL_NOT_FOUND", metadata={"version": version})
    if checksum not in ("", found.checksum):
        raise AppError(ErrorKind.FAILED_PRECONDITION, "MODEL_CHECKSUM_MISMATCH", metadata={"checksum": found.checksum})
    return found
