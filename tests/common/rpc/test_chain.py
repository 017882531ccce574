"""Every kind of call goes through the whole chain, whichever way its servicer is written."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import pytest
from structlog.testing import capture_logs

from libs.common.rpc.caller import current_caller
from libs.common.rpc.errors import AppError, ErrorKind
from quietus.common.v1.feed_pb2 import FollowRequest, FollowResponse
from quietus_edge.errors import reason_of
from tests.common.rpc.harness import Serving, call_line, serving
from tests.common.rpc.probe import REQUEST, SERVICE, call, probe_parts

Work = Callable[[], None]
KINDS = [
    "unary_unary",
    "unary_stream",
    "unary_stream_writing",
    "stream_unary",
    "stream_stream",
    "stream_stream_writing",
]


def _nothing() -> None:
    """Work that succeeds."""


class Servicer:
    """Answers position 1, does the work and, where it streams, answers position 2."""

    def __init__(self, work: Work) -> None:
        self._work = work

    async def unary_unary(self, request: FollowRequest, _: Any) -> FollowResponse:
        self._work()
        return FollowResponse(position=1)

    async def unary_stream(self, request: FollowRequest, _: Any) -> AsyncIterator[FollowResponse]:
        yield FollowResponse(position=1)
        self._work()
        yield FollowResponse(position=2)

    async def unary_stream_writing(self, request: FollowRequest, context: Any) -> None:
        await context.write(FollowResponse(position=1))
        self._work()
        await context.write(FollowResponse(position=2))

    async def stream_unary(self, requests: AsyncIterator[FollowRequest], _: Any) -> FollowResponse:
        assert [request async for request in requests] == [REQUEST, REQUEST]
        self._work()
        return FollowResponse(position=1)

    async def stream_stream(self, requests: AsyncIterator[FollowRequest], _: Any) -> AsyncIterator[FollowResponse]:
        position = 0
        async for _request in requests:
            position += 1
            if position == 2:
                self._work()
            yield FollowResponse(position=position)

    async def stream_stream_writing(self, _: Any, context: Any) -> None:
        position = 0
        while (await context.read()) is not grpc.aio.EOF:
            position += 1
            if position == 2:
                self._work()
            await context.write(FollowResponse(position=position))


def _behavior(kind: str, work: Work) -> tuple[str, Callable[..., Any]]:
    method = "".join(word.capitalize() for word in kind.removesuffix("_writing").split("_"))
    return method, getattr(Servicer(work), kind)


async def _call(running: Serving, method: str, requests: list[Any] | None = None) -> tuple[list[int], Any]:
    """The positions that were answered, and the call."""
    sent = requests or [REQUEST, REQUEST]
    started = call(
        running.channel,
        method,
        _iterate(sent) if method.startswith("Stream") else sent[0],
        running.tokens.metadata(),
    )
    if isinstance(started, Awaitable):
        return [(await started).position], started
    return [response.position async for response in started], started


async def _iterate(items: list[Any]) -> AsyncIterator[Any]:
    for item in items:
        yield item


@pytest.mark.parametrize("kind", KINDS)
async def test_call_is_answered_logged_and_counted(kind: str) -> None:
    callers: list[Any] = []
    method, behavior = _behavior(kind, lambda: callers.append(current_caller()))
    with capture_logs() as logs:
        async with serving(probe_parts(**{method: behavior})) as running:
            positions, finished = await _call(running, method)
            trailing = dict(await finished.trailing_metadata())
            line = await call_line(logs)
    assert positions == ([1] if method.endswith("Unary") else [1, 2])
    assert callers[0].role == 4
    assert (line["status"], line["reason"], line["role"]) == ("OK", "", "service")
    assert len(trailing["x-request-id"]) == 32
    path = f"/quietus.test.v1.ProbeService/{method}"
    assert running.metrics.registry.get_sample_value("quietus_calls_total", {"method": path, "status": "OK"}) == 1
    assert running.metrics.registry.get_sample_value("quietus_call_seconds_count", {"method": path}) == 1


@pytest.mark.parametrize("kind", KINDS)
async def test_typed_error_reaches_the_caller(kind: str) -> None:
    def fail() -> None:
        raise AppError(ErrorKind.FAILED_PRECONDITION, "SESSION_ENDED", metadata={"server_time": "now"})

    method, behavior = _behavior(kind, fail)
    async with serving(probe_parts(**{method: behavior})) as running:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await _call(running, method)
    assert raised.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert reason_of(raised.value) == "SESSION_ENDED"
    assert "x-request-id" in dict(raised.value.trailing_metadata())


@pytest.mark.parametrize("kind", KINDS)
async def test_unexpected_error_keeps_its_text_inside(kind: str) -> None:
    def fail() -> None:
        raise ValueError("I feel hopeless")

    method, behavior = _behavior(kind, fail)
    with capture_logs() as logs:
        async with serving(probe_parts(**{method: behavior})) as running:
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await _call(running, method)
    assert raised.value.code() is grpc.StatusCode.INTERNAL
    assert reason_of(raised.value) == "INTERNAL"
    assert "hopeless" not in str(raised.value)
    assert "hopeless" not in str(logs)
    failure = next(log for log in logs if log["event"] == "call failed unexpectedly")
    assert failure["exception"] == "ValueError"
    assert any("test_chain.py" in frame for frame in failure["frames"])


@pytest.mark.parametrize("kind", KINDS)
async def test_bytes_that_are_no_message_are_refused(kind: str) -> None:
    method, behavior = _behavior(kind, _nothing)
    async with serving(probe_parts(**{method: behavior})) as running:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await _call(running, method, [b"\xff\xff\xff"])
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert reason_of(raised.value) == "MALFORMED_MESSAGE"


@pytest.mark.parametrize("kind", KINDS)
async def test_message_against_its_contract_is_refused(kind: str) -> None:
    method, behavior = _behavior(kind, _nothing)
    wrong = FollowRequest(follower="fusion")
    async with serving(probe_parts(**{method: behavior})) as running:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await _call(running, method, [wrong])
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert reason_of(raised.value) == "INVALID_FIELD"


@pytest.mark.parametrize("kind", ["unary_unary", "unary_stream", "stream_stream"])
async def test_cancelled_call_ends_its_servicer(kind: str) -> None:
    ended, began = asyncio.Event(), asyncio.Event()

    async def hang() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def returning(_: Any, __: Any) -> FollowResponse:
        await hang()
        return FollowResponse()

    async def yielding(_: Any, __: Any) -> AsyncIterator[FollowResponse]:
        await hang()
        yield FollowResponse()

    method = _behavior(kind, _nothing)[0]
    with capture_logs() as logs:
        async with serving(probe_parts(**{method: returning if kind == "unary_unary" else yielding})) as running:
            started = asyncio.create_task(_call(running, method))
            await began.wait()
            started.cancel()
            await asyncio.wait_for(ended.wait(), 10)
    assert [log["status"] for log in logs if log["event"] == "call"] == ["CANCELLED"]


async def test_a_client_that_goes_away_while_it_is_written_to_is_no_failure() -> None:
    ended = asyncio.Event()

    async def pouring(_: Any, __: Any) -> AsyncIterator[FollowResponse]:
        try:
            while True:
                yield FollowResponse(payload=bytes(100_000))
        finally:
            ended.set()

    with capture_logs() as logs:
        async with serving(probe_parts(UnaryStream=pouring)) as running:
            method = running.channel.unary_stream(
                f"/{SERVICE}/UnaryStream", FollowRequest.SerializeToString, FollowResponse.FromString
            )
            answers = method(REQUEST, metadata=running.tokens.metadata())
            await answers.read()
            answers.cancel()
            await asyncio.wait_for(ended.wait(), 10)
    assert not [log for log in logs if log["event"] == "call failed unexpectedly"]
    assert [log["status"] for log in logs if log["event"] == "call"] == ["CANCELLED"]


async def test_unknown_method_is_refused_with_a_reason() -> None:
    path = "/quietus.test.v1.ProbeService/Nothing"
    async with serving(probe_parts()) as running:
        unary = running.channel.unary_unary(path)(b"")
        stream = running.channel.stream_stream(path)(_iterate([])).read()
        for refused in (unary, stream):
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await refused
            assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED
            assert reason_of(raised.value) == "METHOD_UNKNOWN"


@pytest.mark.parametrize(("given", "kept"), [("trace-1", True), ("with a space", False), ("x" * 65, False)])
async def test_request_id_is_kept_when_it_is_harmless(given: str, kept: bool) -> None:
    method, behavior = _behavior("unary_unary", _nothing)
    async with serving(probe_parts(UnaryUnary=behavior)) as running:
        metadata = (*running.tokens.metadata(), ("x-request-id", given))
        started = call(running.channel, method, REQUEST, metadata)
        await started
        returned = dict(await started.trailing_metadata())["x-request-id"]
    assert (returned == given) is kept
