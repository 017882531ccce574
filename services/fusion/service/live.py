"""A session's state as it changes, for one who may see it."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator
from uuid import UUID

from libs.common.db.database import Database
from libs.common.people.access import Access
from libs.common.people.store import carers_of
from libs.common.rpc.caller import Caller
from libs.common.rpc.drain import DrainSignal
from libs.common.rpc.errors import AppError, ErrorKind
from quietus.common.v1.options_pb2 import ROLE_COUNSELOR
from services.fusion.records import SessionRisk
from services.fusion.service.answers import SESSION_NOT_FOUND
from services.fusion.service.watching import Sighting, Watch, Watchers
from services.fusion.store import sessions


def position_of(risk: SessionRisk) -> str:
    """Names a state: the same stored results give the same position, in any process and after any rebuild."""
    # Python writes a float with as many digits as its bits need, so states that differ in a bit differ here.
    return hashlib.sha256(repr(risk).encode()).hexdigest()[:32]


class LiveSessions:
    def __init__(self, database: Database, access: Access) -> None:
        self._database = database
        self._access = access
        self.watchers = Watchers(self._look)

    async def states(
        self, caller: Caller, session_id: UUID, after_position: str, drain: DrainSignal
    ) -> AsyncGenerator[tuple[str, SessionRisk]]:
        """The newest state whenever it isn't the one that was given last, with its position; ends with the drain.

        A session of which nothing is fused yet may come to be the caller's own. A counselor's watch is audited once,
        and ends with the care; everybody's ends when the person is deleted. NOT_FOUND SESSION_NOT_FOUND.
        """
        position, is_admitted = after_position, False
        with self.watchers.watching(session_id) as watch:
            while (sighting := await _unless_drained(watch, drain)) is not None:
                is_admitted = is_admitted or await self._admit(caller, sighting)
                _check(caller, sighting, is_admitted)
                if sighting.risk is None:
                    continue
                newest = position_of(sighting.risk)
                if newest != position:
                    position = newest
                    yield position, sighting.risk

    async def _look(self, session_id: UUID) -> Sighting:
        async with self._database.read() as tx:
            risk = await sessions.read_risk(tx, session_id)
            return Sighting(risk, await carers_of(tx, risk.user_id) if risk else frozenset())

    async def _admit(self, caller: Caller, sighting: Sighting) -> bool:
        """False while there is nothing to be admitted to, for who may wait for it."""
        if sighting.risk is None and caller.role != ROLE_COUNSELOR:
            return False
        async with self._database.read() as tx:
            owner = sighting.risk.user_id if sighting.risk else None
            await self._access.check_owner(tx, caller, owner, SESSION_NOT_FOUND)
        return True


def _check(caller: Caller, sighting: Sighting, is_admitted: bool) -> None:
    """Whether who was admitted still may see it."""
    is_gone = sighting.risk is None
    is_uncared = caller.role == ROLE_COUNSELOR and caller.user_id not in sighting.carers
    if is_admitted and (is_gone or is_uncared):
        raise AppError(ErrorKind.NOT_FOUND, SESSION_NOT_FOUND)


async def _unless_drained(watch: Watch, drain: DrainSignal) -> Sighting | None:
    """What the watch sees next; None when the drain comes first."""
    if drain.is_set():
        return None
    news = asyncio.ensure_future(watch.next())
    drained = asyncio.ensure_future(drain.wait())
    try:
        await asyncio.wait({news, drained}, return_when=asyncio.FIRST_COMPLETED)
        return await news if news.done() else None
    finally:
        news.cancel()
        drained.cancel()
