"""A whole service, for tests of its life: python -m tests.common.rpc.tiny_service <background> ..."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import structlog

from libs.common.observability.metrics import Metrics
from libs.common.rpc.app import Running, run
from libs.common.rpc.drain import current_drain
from libs.common.rpc.server import build_server
from libs.common.security.tokens import StaticVerifierKeys, TokenVerifier
from libs.common.settings import CommonSettings, load_settings
from quietus.common.v1.feed_pb2 import FollowResponse
from tests.common.rpc.probe import probe_parts


async def _answer(_: Any, __: Any) -> FollowResponse:
    return FollowResponse(position=1)


async def _watch(_: Any, __: Any) -> AsyncIterator[FollowResponse]:
    yield FollowResponse(position=1)
    await current_drain().wait()
    yield FollowResponse(position=2)


async def _die() -> None:
    raise ValueError("I feel hopeless")


async def _work() -> None:
    await asyncio.Event().wait()


async def _goes_on() -> None:
    """Its first cancellation gets lost."""
    with suppress(asyncio.CancelledError):
        await _work()
    await _work()


async def _goes_on_in_a_group() -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(_goes_on())


async def _close() -> None:
    structlog.get_logger().info("closed")


WORK = {"die": _die, "work": _work, "go_on": _goes_on_in_a_group}


async def compose(settings: CommonSettings, metrics: Metrics) -> Running:
    verifier = TokenVerifier(StaticVerifierKeys({}))
    server = build_server(settings, probe_parts(Public=_answer, PublicStream=_watch), verifier, metrics)
    return Running(server, background=[WORK[name] for name in sys.argv[1:]], close=_close)


if __name__ == "__main__":
    run("ingest", load_settings(CommonSettings, "ingest"), compose)
