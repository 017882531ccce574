"""Which versions of the model there are, and which one makes results."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from libs.common.db.audit import append_audit
from libs.common.db.database import Database
from libs.common.rpc.errors import AppError, ErrorKind
from services.fusion.science.model import ModelDocument, ModelError, parse_model
from services.fusion.service.registry import candidate
from services.fusion.store import models
from services.fusion.versions import Switch

MOST_SWITCHES = 1000


@dataclass(frozen=True, slots=True)
class Listing:
    documents: Sequence[ModelDocument]  # in the order in which they were registered
    switches: Sequence[Switch]  # by number, the newest MOST_SWITCHES

    @property
    def in_force(self) -> str:
        return self.switches[-1].version if self.switches else ""


class ModelSwitching:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def listing(self) -> Listing:
        """FAILED_PRECONDITION MODEL_UNUSABLE."""
        try:
            async with self._database.read() as tx:
                switches = await models.read_switches(tx)
                return Listing(await models.read_others(tx), switches[-MOST_SWITCHES:])
        except ModelError as error:
            raise AppError(ErrorKind.FAILED_PRECONDITION, "MODEL_UNUSABLE", str(error)) from error

    async def register(self, actor: str, document: Any) -> ModelDocument:
        """Once registered, a version may be compared and switched to; again, it changes nothing.

        FAILED_PRECONDITION MODEL_UNUSABLE: no model, not the one that its checksum was made for, or other content than
        is registered under the version.
        """
        try:
            parsed = parse_model(document)
            async with self._database.transaction() as tx:
                if await models.register(tx, parsed):
                    # As it will be read: a number that Postgres writes another way has another checksum.
                    await models.read_one(tx, parsed.model.version)
                    await append_audit(
                        tx,
                        user_id=None,
                        actor=actor,
                        action="model.register",
                        resource_type="model",
                        resource_id=parsed.model.version,
                        metadata={"checksum": parsed.checksum},
                    )
        except ModelError as error:
            raise AppError(ErrorKind.FAILED_PRECONDITION, "MODEL_UNUSABLE", str(error)) from error
        return parsed

    async def switch(self, actor: str, version: str, checksum: str, replaces: str) -> Switch:
        """Waits for those who fuse, and they for it: it takes effect after everything that is fused.

        NOT_FOUND MODEL_NOT_FOUND. FAILED_PRECONDITION MODEL_CHECKSUM_MISMATCH, MODEL_UNUSABLE. ALREADY_EXISTS
        MODEL_IN_FORCE. ABORTED MODEL_SWITCHED_MEANWHILE. UNAVAILABLE DATABASE_BUSY.
        """
        async with self._database.transaction() as tx:
            document = await candidate(tx, version, checksum)
            newest_receive_time, now = await models.lock_head(tx)
            switches = await models.read_switches(tx)
            in_force = switches[-1]
            if in_force.version == version:
                raise AppError(ErrorKind.ALREADY_EXISTS, "MODEL_IN_FORCE")
            if in_force.version != replaces:
                raise AppError(ErrorKind.ABORTED, "MODEL_SWITCHED_MEANWHILE", metadata={"in_force": in_force.version})
            effect_time = max(newest_receive_time, now, in_force.effect_time)
            switch = Switch(in_force.number + 1, version, effect_time, actor, now)
            await models.append_switch(tx, switch)
            await append_audit(
                tx,
                user_id=None,
                actor=actor,
                action="model.switch",
                resource_type="model",
                resource_id=version,
                metadata={
                    "number": switch.number,
                    "replaced": replaces,
                    "checksum": document.checksum,
                    "effect_time": effect_time.isoformat(),
                },
            )
        return switch
