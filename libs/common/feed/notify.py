"""Tells the other processes of a slice that there are new batches, and hears it from them."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog

from libs.common.cancellation import pause
from libs.common.db.database import Database
from libs.common.db.errors import DRIVER_ERRORS
from libs.common.rpc.errors import AppError

if TYPE_CHECKING:
    from asyncpg import Connection
    from asyncpg.pool import PoolConnectionProxy

    Listening = Connection[Any] | PoolConnectionProxy[Any]

# NOTIFY takes a lock of the whole server in its commit: never once a transaction, but at most this often.
_INTERVAL_SECONDS = 0.02
_RECONNECT_SECONDS = 1.0

_log = structlog.get_logger()


class Notifier:
    """One connection beside the pool that listens and notifies. While it is away, the tail's poll finds what is new."""

    def __init__(self, database: Database, on_news: Callable[[], None]) -> None:
        self._database = database
        self._on_news = on_news
        self._channel = f"quietus_feed_{database.slice_name}"
        self._something = asyncio.Event()

    def tell(self) -> None:
        self._something.set()

    async def run(self) -> None:
        while True:
            try:
                await self._listen_and_tell()
            except (AppError, OSError, *DRIVER_ERRORS) as error:
                _log.warning("feed notifier reconnects", error=type(error).__name__)
                await pause(_RECONNECT_SECONDS)

    async def _listen_and_tell(self) -> None:
        connection = await self._database.connect_directly()
        try:
            connection.add_termination_listener(lambda _: self._something.set())
            await connection.add_listener(self._channel, partial(self._hear, connection.get_server_pid()))
            self._on_news()
            while True:
                await self._something.wait()
                self._something.clear()
                await connection.execute(f"NOTIFY {self._channel}")
                await asyncio.sleep(_INTERVAL_SECONDS)
        finally:
            connection.terminate()

    def _hear(self, own_id: int, connection: "Listening", process_id: int, channel: str, payload: object) -> None:
        """The connection may be closed by the time at which it is called."""
        if process_id != own_id:
            self._on_news()
