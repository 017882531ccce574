"""Knows the caller by a token and lets pass whom the method's policy names."""

import asyncio
from typing import Any

from libs.common.clock import Clock, utc_now
from libs.common.rpc.call import Call, Proceed
from libs.common.rpc.caller import NOBODY, Caller, set_current_caller
from libs.common.rpc.errors import AppError, ErrorKind
from libs.common.security.tokens import TokenVerifier
from quietus.common.v1.options_pb2 import Role

_SCHEME = "bearer "


class Access:
    def __init__(self, verifier: TokenVerifier, clock: Clock = utc_now) -> None:
        self._verifier = verifier
        self._clock = clock

    async def intercept(self, call: Call, proceed: Proceed) -> Any:
        policy = call.method.policy
        if policy.public:
            set_current_caller(NOBODY)
            return await proceed(call)
        caller = await self._verifier.verify(_token(call))
        call.role, call.anonymous_id = Role.Name(caller.role).removeprefix("ROLE_").lower(), caller.anonymous_id
        policy.check(caller)
        set_current_caller(caller)
        if policy.long_lived:
            return await self._until_expiry(call, proceed, caller)
        return await proceed(call)

    async def _until_expiry(self, call: Call, proceed: Proceed, caller: Caller) -> Any:
        # Handlers end before, by their DrainSignal; this is for one that doesn't.
        scope = asyncio.timeout((caller.expires_at - self._clock()).total_seconds())
        try:
            async with scope:
                return await proceed(call)
        except TimeoutError as error:
            if not scope.expired():
                raise
            raise AppError(ErrorKind.UNAUTHENTICATED, "TOKEN_EXPIRED", "the access token has expired") from error


def _token(call: Call) -> str:
    value = call.metadata("authorization")
    return value[len(_SCHEME) :].strip() if value[: len(_SCHEME)].lower() == _SCHEME else ""
