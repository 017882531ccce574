"""A call that isn't long-lived by nature ends, even if its caller forgot to say when."""

import asyncio
from typing import Any

from libs.common.rpc.call import Call, Proceed
from libs.common.rpc.errors import AppError, ErrorKind


class Deadline:
    def __init__(self, default_seconds: float) -> None:
        self._default_seconds = default_seconds

    async def intercept(self, call: Call, proceed: Proceed) -> Any:
        if call.method.policy.long_lived or call.context.time_remaining() is not None:
            return await proceed(call)
        scope = asyncio.timeout(self._default_seconds)
        try:
            async with scope:
                return await proceed(call)
        except TimeoutError as error:
            if not scope.expired():
                raise
            raise AppError(
                ErrorKind.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED", "the server's default deadline passed"
            ) from error
