"""When a long stream has to come to its end."""

import asyncio
from contextvars import ContextVar

TOKEN_MARGIN_SECONDS = 30.0


class DrainSignal:
    """Comes when the server drains, the stream has reached its greatest age, or its token is about to expire."""

    def __init__(self, server_drains: asyncio.Event, seconds: float) -> None:
        """`seconds` from now the signal comes even if the server doesn't drain."""
        self._server_drains = server_drains
        self._loop = asyncio.get_running_loop()
        self._at = self._loop.time() + seconds

    def is_set(self) -> bool:
        return self._server_drains.is_set() or self._loop.time() >= self._at

    async def wait(self) -> None:
        try:
            async with asyncio.timeout_at(self._at):
                await self._server_drains.wait()
        except TimeoutError:
            return


_current: ContextVar[DrainSignal] = ContextVar("drain")


def current_drain() -> DrainSignal:
    """The signal of the running RPC. LookupError outside of one."""
    return _current.get()


def set_current_drain(signal: DrainSignal) -> None:
    """Every RPC runs in a task of its own, so that nothing has to be reset."""
    _current.set(signal)
