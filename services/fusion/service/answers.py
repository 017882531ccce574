"""What people may ask of fusion. Each use case is one snapshot of the slice."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from libs.common.db.database import Database, Transaction
from libs.common.people.access import Access
from libs.common.rpc.caller import Caller
from libs.common.rpc.errors import AppError, ErrorKind
from services.fusion.fold import ChunkResult, advanced
from services.fusion.records import DissonanceRecord, PageKey, SessionRisk
from services.fusion.science.counterfactual import NOT_ASKED, Counterfactuals, counterfactuals
from services.fusion.science.fuse import fuse_chunks
from services.fusion.science.inputs import InputArrays
from services.fusion.science.model import FusionModel
from services.fusion.service.registry import KnownModels
from services.fusion.silence import Silence
from services.fusion.store import accounts, inputs, results, sessions, silences

SESSION_NOT_FOUND = "SESSION_NOT_FOUND"


@dataclass(frozen=True, slots=True)
class Replay:
    stored: ChunkResult
    replayed: ChunkResult
    silences: Sequence[Silence]

    @property
    def identical(self) -> bool:
        """Every number has the same bits: Python writes a float with as many digits as its bits need."""
        return repr(self.stored) == repr(self.replayed)


class Sessions:
    def __init__(self, database: Database, access: Access, models: KnownModels) -> None:
        self._database = database
        self._access = access
        self._models = models

    async def otherwise(self, some: Sequence[ChunkResult]) -> Sequence[Counterfactuals]:
        """What each would be with other modalities, by the version that made it; all of one version at once."""
        answers = [NOT_ASKED] * len(some)
        for version in {result.model_version for result in some}:
            model = await self._model(version)
            places = [place for place, result in enumerate(some) if result.model_version == version]
            if model is not None:
                found = counterfactuals(model, [some[place].fused for place in places])
                for place, one in zip(places, found, strict=True):
                    answers[place] = one
        return answers

    async def _model(self, version: str) -> FusionModel | None:
        """None when nobody registered it."""
        if (known := self._models.known(version)) is not None:
            return known
        async with self._database.read() as tx:
            return (await self._models.versions(tx)).get(version)

    async def results(
        self, caller: Caller, session_id: UUID, after: PageKey, limit: int
    ) -> tuple[Sequence[ChunkResult], Sequence[Silence]]:
        """In the order of capture, and all silences of the session.

        NOT_FOUND SESSION_NOT_FOUND, as for every session that isn't the caller's to see.
        """
        async with self._database.read() as tx:
            await self._check_owner(tx, caller, session_id)
            return await results.read_page(tx, session_id, after, limit), await silences.read(tx, session_id)

    async def dissonance_records(
        self, caller: Caller, session_id: UUID, after: PageKey, limit: int
    ) -> Sequence[DissonanceRecord]:
        async with self._database.read() as tx:
            await self._check_owner(tx, caller, session_id)
            return await accounts.read_records(tx, session_id, after, limit)

    async def risk(self, caller: Caller, session_id: UUID) -> SessionRisk:
        async with self._database.read() as tx:
            await self._check_owner(tx, caller, session_id)
            risk = await sessions.read_risk(tx, session_id)
        assert risk is not None
        return risk

    async def replay(self, caller: Caller, session_id: UUID, chunk_id: UUID) -> Replay:
        """NOT_FOUND CHUNK_NOT_FOUND. FAILED_PRECONDITION INPUTS_EXPIRED, MODEL_NOT_FOUND."""
        async with self._database.read() as tx:
            await self._access.check_owner(tx, caller, await sessions.read_owner(tx, session_id), "CHUNK_NOT_FOUND")
            stored = await results.read_one(tx, session_id, chunk_id)
            if stored is None:
                raise AppError(ErrorKind.NOT_FOUND, "CHUNK_NOT_FOUND")
            model = (await self._models.versions(tx))[stored.model_version]
            known = (await inputs.read(tx, [(session_id, chunk_id)])).get(session_id, {})
            if chunk_id not in known:
                raise AppError(ErrorKind.FAILED_PRECONDITION, "INPUTS_EXPIRED")
            place = (session_id, *stored.key)
            silent = await silences.read(tx, session_id)
            before = await results.read_standings_before(tx, [place])
        (fused,) = fuse_chunks(model, InputArrays.of([known[chunk_id]]))
        replayed = advanced(model, before[session_id].state, replace(stored, fused=fused))
        return Replay(stored, _without_judged(replayed), silent)

    async def _check_owner(self, tx: Transaction, caller: Caller, session_id: UUID) -> None:
        await self._access.check_owner(tx, caller, await sessions.read_owner(tx, session_id), SESSION_NOT_FOUND)


def _without_judged(result: ChunkResult) -> ChunkResult:
    """As a row holds it."""
    state = replace(result.state, judged=())
    return replace(result, standing=replace(result.standing, state=state))
