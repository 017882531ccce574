"""What a client streams, message by message, until it or the server has had enough."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from grpc.aio import EOF

from libs.common.rpc.drain import DrainSignal
from libs.common.rpc.errors import AppError, ErrorKind


class Inbox:
    def __init__(self, read: Callable[[], Awaitable[Any]], drain: DrainSignal, idle_seconds: float) -> None:
        self._read = read
        self._drain = drain
        self._idle_seconds = idle_seconds

    async def next(self) -> Any | None:
        """None at the end. DEADLINE_EXCEEDED STREAM_IDLE."""
        if self._drain.is_set():
            return None
        reading = asyncio.ensure_future(self._read())
        drained = asyncio.ensure_future(self._drain.wait())
        try:
            await asyncio.wait((reading, drained), timeout=self._idle_seconds, return_when=asyncio.FIRST_COMPLETED)
            if reading.done():
                message = reading.result()
                return None if message is EOF else message
            if drained.done():
                return None
        finally:
            reading.cancel()
            drained.cancel()
        raise AppError(ErrorKind.DEADLINE_EXCEEDED, "STREAM_IDLE", "nothing was sent for too long")
