"""What bounds a call: its deadline, its length, and how many others there are."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from grpc_status import rpc_status

from libs.common.rpc.drain import current_drain
from libs.common.settings import CommonSettings
from quietus.common.v1.feed_pb2 import FollowResponse
from quietus_edge.errors import reason_of
from tests.common.rpc.harness import serving
from tests.common.rpc.probe import REQUEST, call, probe_parts


class Gate:
    """A servicer that answers when the test lets it."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.open = asyncio.Event()

    async def unary(self, _: Any, __: Any) -> FollowResponse:
        self.entered.set()
        await self.open.wait()
        return FollowResponse(position=1)

    async def stream(self, _: Any, __: Any) -> AsyncIterator[FollowResponse]:
        yield await self.unary(_, __)


async def test_call_without_a_deadline_gets_one() -> None:
    settings = CommonSettings(default_deadline_seconds=0.05)
    async with serving(probe_parts(UnaryUnary=Gate().unary), settings) as running:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await call(running.channel, "UnaryUnary", REQUEST, running.tokens.metadata(), timeout=None)
    assert raised.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert reason_of(raised.value) == "DEADLINE_EXCEEDED"


async def test_deadline_of_the_caller_stands() -> None:
    gate = Gate()
    settings = CommonSettings(default_deadline_seconds=0.001)
    async with serving(probe_parts(UnaryUnary=gate.unary), settings) as running:
        started = call(running.channel, "UnaryUnary", REQUEST, running.tokens.metadata(), timeout=30)
        await gate.entered.wait()
        gate.open.set()
        assert (await started).position == 1


async def test_timeout_of_the_servicer_is_not_the_deadline() -> None:
    async def fail(_: Any, __: Any) -> FollowResponse:
        raise TimeoutError

    async with serving(probe_parts(UnaryUnary=fail)) as running:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await call(running.channel, "UnaryUnary", REQUEST, running.tokens.metadata(), timeout=None)
    assert reason_of(raised.value) == "INTERNAL"


@pytest.mark.parametrize("method", ["UnaryUnary", "UnaryStream"])
async def test_calls_beyond_the_bound_are_shed(method: str) -> None:
    gate = Gate()
    settings = CommonSettings(max_concurrent_calls=1, max_streams=1)
    async with serving(probe_parts(UnaryUnary=gate.unary, UnaryStream=gate.stream), settings) as running:

        async def ask() -> FollowResponse:
            started = call(running.channel, method, REQUEST, running.tokens.metadata())
            return await (started if method == "UnaryUnary" else started.read())

        first = asyncio.create_task(ask())
        await gate.entered.wait()
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await ask()
        gate.open.set()
        assert (await first).position == 1
        assert (await ask()).position == 1
    assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert reason_of(raised.value) == "OVERLOADED"
    retry = RetryInfo()
    assert any(detail.Unpack(retry) for detail in rpc_status.from_call(raised.value).details)
    assert retry.retry_delay.seconds == 1


async def _until_drained(_: Any, __: Any) -> AsyncIterator[FollowResponse]:
    yield FollowResponse(position=1)
    await current_drain().wait()
    assert current_drain().is_set()
    yield FollowResponse(position=2)


async def _silence() -> AsyncIterator[Any]:
    await asyncio.Event().wait()
    yield REQUEST


@pytest.mark.parametrize(("max_age", "token_seconds"), [(0.05, 900), (3600, 31)], ids=["age", "token"])
async def test_long_stream_is_told_its_end(max_age: float, token_seconds: float) -> None:
    settings = CommonSettings(max_connection_age_seconds=max_age)
    async with serving(probe_parts(LongStream=_until_drained), settings) as running:
        metadata = running.tokens.metadata(seconds=token_seconds)
        stream = call(running.channel, "LongStream", _silence(), metadata)
        assert [response.position async for response in stream] == [1, 2]


async def test_drain_ends_streams_and_lets_calls_finish() -> None:
    gate = Gate()
    async with serving(probe_parts(LongStream=_until_drained, UnaryUnary=gate.unary)) as running:
        metadata = running.tokens.metadata()
        stream = call(running.channel, "LongStream", _silence(), metadata)
        assert (await stream.read()).position == 1
        unary = call(running.channel, "UnaryUnary", REQUEST, metadata)
        await gate.entered.wait()
        draining = asyncio.create_task(running.server.drain(30))
        assert (await stream.read()).position == 2
        assert await stream.code() is grpc.StatusCode.OK
        gate.open.set()
        assert (await unary).position == 1
        await draining
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await call(running.channel, "UnaryUnary", REQUEST, metadata)
    assert raised.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_drain_cancels_what_outlives_the_grace() -> None:
    gate = Gate()
    async with serving(probe_parts(UnaryUnary=gate.unary)) as running:
        started = call(running.channel, "UnaryUnary", REQUEST, running.tokens.metadata())
        await gate.entered.wait()
        await running.server.drain(0.05)
        with pytest.raises(grpc.aio.AioRpcError):
            await started


async def test_message_beyond_the_bound_is_refused_and_the_next_is_taken() -> None:
    gate = Gate()
    gate.open.set()
    async with serving(probe_parts(UnaryUnary=gate.unary), CommonSettings(max_receive_message_bytes=2048)) as running:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await call(running.channel, "UnaryUnary", bytes(4096), running.tokens.metadata())
        assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert (await call(running.channel, "UnaryUnary", REQUEST, running.tokens.metadata())).position == 1
