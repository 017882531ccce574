"""Who gets in."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from libs.common.rpc.caller import NOBODY, current_caller
from libs.common.rpc.client import Metadata, bearer
from quietus.common.v1.feed_pb2 import FollowResponse
from quietus.common.v1.options_pb2 import ROLE_ADMIN, ROLE_USER
from quietus_edge.errors import reason_of
from tests.common.rpc.harness import Serving, Tokens, serving
from tests.common.rpc.probe import REQUEST, call, probe_parts


async def _answer(_: Any, __: Any) -> FollowResponse:
    return FollowResponse()


async def _refusal(running: Serving, method: str, metadata: Metadata) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call(running.channel, method, REQUEST, metadata)
    return raised.value.code(), reason_of(raised.value)


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ((), "TOKEN_MISSING"),
        ((("authorization", "Basic abc"),), "TOKEN_MISSING"),
        (bearer("garbage"), "TOKEN_INVALID"),
        (bearer("x" * 5000), "TOKEN_INVALID"),
        (Tokens().metadata(), "TOKEN_INVALID"),  # another issuer's, under a key id that we know
    ],
)
async def test_caller_without_a_good_token_is_unknown(metadata: Metadata, reason: str) -> None:
    async with serving(probe_parts(UnaryUnary=_answer)) as running:
        assert await _refusal(running, "UnaryUnary", metadata) == (grpc.StatusCode.UNAUTHENTICATED, reason)


async def test_expired_token_is_refused() -> None:
    async with serving(probe_parts(UnaryUnary=_answer)) as running:
        expired = running.tokens.metadata(seconds=-1)
        assert await _refusal(running, "UnaryUnary", expired) == (grpc.StatusCode.UNAUTHENTICATED, "TOKEN_EXPIRED")


async def test_refused_caller_is_not_parsed() -> None:
    async with serving(probe_parts(UnaryUnary=_answer)) as running:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await call(running.channel, "UnaryUnary", b"\xff")
        assert reason_of(raised.value) == "TOKEN_MISSING"


async def test_policy_names_roles_and_scopes() -> None:
    async with serving(probe_parts(ForAdmins=_answer)) as running:
        denied = grpc.StatusCode.PERMISSION_DENIED
        user, admin = running.tokens.metadata(ROLE_USER), running.tokens.metadata(ROLE_ADMIN)
        assert await _refusal(running, "ForAdmins", user) == (denied, "ROLE_NOT_ALLOWED")
        assert await _refusal(running, "ForAdmins", admin) == (denied, "SCOPE_MISSING")
        await call(
            running.channel, "ForAdmins", REQUEST, running.tokens.metadata(ROLE_ADMIN, scopes=frozenset({"feeds"}))
        )


async def test_method_without_policy_is_refused_to_everybody() -> None:
    async with serving(probe_parts(Unspoken=_answer)) as running:
        refusal = await _refusal(running, "Unspoken", running.tokens.metadata(ROLE_ADMIN))
        assert refusal == (grpc.StatusCode.PERMISSION_DENIED, "POLICY_MISSING")


async def test_public_method_asks_nobody() -> None:
    callers: list[Any] = []

    async def answer(_: Any, __: Any) -> FollowResponse:
        callers.append(current_caller())
        return FollowResponse()

    async with serving(probe_parts(Public=answer)) as running:
        await call(running.channel, "Public", REQUEST)
        await call(running.channel, "Public", REQUEST, bearer("garbage"))
    assert callers == [NOBODY, NOBODY]


async def test_long_stream_that_ignores_its_drain_ends_with_its_token() -> None:
    async def ignore(_: Any, __: Any) -> AsyncIterator[FollowResponse]:
        yield FollowResponse(position=1)
        await asyncio.Event().wait()

    async with serving(probe_parts(LongStream=ignore)) as running:
        stream = call(running.channel, "LongStream", _silence(), running.tokens.metadata(seconds=2))
        assert (await stream.read()).position == 1
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await stream.read()
    assert (raised.value.code(), reason_of(raised.value)) == (grpc.StatusCode.UNAUTHENTICATED, "TOKEN_EXPIRED")


async def _silence() -> AsyncIterator[Any]:
    await asyncio.Event().wait()
    yield REQUEST
