"""Tells a long stream when to come to its end."""

import asyncio
from typing import Any

from libs.common.clock import Clock, utc_now
from libs.common.rpc.call import Call, Proceed
from libs.common.rpc.caller import current_caller
from libs.common.rpc.drain import TOKEN_MARGIN_SECONDS, DrainSignal, set_current_drain
from libs.common.rpc.errors import AppError, ErrorKind


class Drain:
    def __init__(self, server_drains: asyncio.Event, max_stream_seconds: float, clock: Clock = utc_now) -> None:
        self._server_drains = server_drains
        self._max_stream_seconds = max_stream_seconds
        self._clock = clock

    async def intercept(self, call: Call, proceed: Proceed) -> Any:
        if not call.method.policy.long_lived:
            return await proceed(call)
        token_seconds = (current_caller().expires_at - self._clock()).total_seconds() - TOKEN_MARGIN_SECONDS
        signal = DrainSignal(self._server_drains, min(self._max_stream_seconds, token_seconds))
        set_current_drain(signal)
        if call.method.policy.foreign:
            return await _until_drain(call, proceed, signal)
        return await proceed(call)


async def _until_drain(call: Call, proceed: Proceed, signal: DrainSignal) -> Any:
    """For servicers that don't know the signal: a watcher of our health must not hold up our end."""
    work = asyncio.ensure_future(proceed(call))
    drain = asyncio.ensure_future(signal.wait())
    try:
        await asyncio.wait((work, drain), return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            return work.result()
        raise AppError(ErrorKind.UNAVAILABLE, "DRAINING", "the server ends; connect to another")
    finally:
        work.cancel()
        drain.cancel()
