"""Whether the database can be worked with, as those who work with it and a probe on a connection of its own find."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

import asyncpg
import structlog

from libs.common.cancellation import pause
from libs.common.db.database import Database
from libs.common.db.errors import DRIVER_ERRORS
from libs.common.rpc.errors import AppError

PROBE_EVERY_SECONDS = 1.0
PROBE_AGAIN_SECONDS = 0.2
PROBE_TIMEOUT_SECONDS = 2.0
_PROBE = "probe"

_log = structlog.get_logger()


class Availability:
    """`run` has to run beside the server, so that a database that goes while nobody works with it is missed too."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._missed_by: set[str] = set()
        self._changed = asyncio.Event()
        self._probed: asyncpg.Connection[Any] | None = None
        # Called at each change, quickly.
        self.listeners: set[Callable[[], None]] = set()

    @property
    def is_available(self) -> bool:
        return not self._missed_by

    def missed(self, by: str) -> None:
        """It is away for this part of the service, until `found` by the same."""
        self._tell(self._missed_by | {by})

    def found(self, by: str) -> None:
        self._tell(self._missed_by - {by})

    async def follow(self, tell: Callable[[bool], Awaitable[None]]) -> NoReturn:
        """Tells how it is, at once and at each change."""
        while True:
            changed = self._changed
            await tell(self.is_available)
            await changed.wait()

    async def run(self) -> NoReturn:
        while True:
            if await self._answers():
                self.found(_PROBE)
                await pause(PROBE_EVERY_SECONDS)
            else:
                self.missed(_PROBE)
                await pause(PROBE_AGAIN_SECONDS)

    async def _answers(self) -> bool:
        """In time: a server that is stopped keeps its connections open and says nothing."""
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_SECONDS):
                if self._probed is None or self._probed.is_closed():
                    self._probed = await self._database.connect_directly()
                await self._probed.execute("SELECT 1")
        except (*DRIVER_ERRORS, AppError, OSError, TimeoutError):
            if self._probed is not None:
                self._probed.terminate()
                self._probed = None
            return False
        return True

    def _tell(self, missed_by: set[str]) -> None:
        was_available, self._missed_by = self.is_available, missed_by
        if self.is_available == was_available:
            return
        if was_available:
            _log.warning("database_away", missed_by=sorted(missed_by))
        else:
            _log.info("database_back")
        for listener in tuple(self.listeners):
            listener()
        self._changed.set()
        self._changed = asyncio.Event()
