"""The life of a service process."""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc

from libs.common.rpc.client import channel
from quietus.common.v1.feed_pb2 import FollowResponse
from tests.common.rpc.probe import REQUEST, call


class Process:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.lines: list[str] = []

    async def line(self, event: str) -> dict[str, Any]:
        """Reads up to the log line of an event."""
        assert self._process.stdout is not None
        while raw := await self._process.stdout.readline():
            self.lines.append(raw.decode())
            if raw.startswith(b"{") and (line := json.loads(raw))["event"] == event:
                return dict(line)
        raise AssertionError(f"{event} was not logged: {self.lines}")

    def terminate(self) -> None:
        self._process.send_signal(signal.SIGTERM)

    async def end(self) -> int:
        """Reads to the end; returns the exit status."""
        assert self._process.stdout is not None
        self.lines += (await self._process.stdout.read()).decode().splitlines()
        return await self._process.wait()


@asynccontextmanager
async def _started(*background: str, **settings: str) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.common.rpc.tiny_service", *background),
        env=os.environ | settings,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield Process(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_terminated_service_ends_its_streams_and_itself() -> None:
    async with _started("work") as process:
        port = (await process.line("listening"))["port"]
        await process.line("serving")
        async with channel(f"127.0.0.1:{port}") as client:
            assert await call(client, "Public", REQUEST) == FollowResponse(position=1)
            stream = call(client, "PublicStream", REQUEST)
            assert (await stream.read()).position == 1
            process.terminate()
            assert (await stream.read()).position == 2
            assert await stream.code() is grpc.StatusCode.OK
        assert await process.end() == 0
    assert '"closed"' in "".join(process.lines)


async def test_service_whose_background_work_dies_ends_with_status_one() -> None:
    async with _started("die") as process:
        failure = await process.line("background work died")
        assert await process.end() == 1
    assert failure["exception"] == "ValueError"
    assert "hopeless" not in "".join(process.lines)
    assert '"closed"' in "".join(process.lines)


async def test_failure_is_told_before_other_work_has_ended() -> None:
    async with _started("die", "go_on") as process:
        await process.line("background work died")
        await process.line("cancelled work goes on")
        assert await process.end() == 1


async def test_service_ends_though_a_cancellation_of_its_work_gets_lost() -> None:
    async with _started("go_on") as process:
        await process.line("serving")
        process.terminate()
        told = await process.line("cancelled work goes on")
        assert await process.end() == 0
    assert "_goes_on" in told["work"]
    assert '"closed"' in "".join(process.lines)


async def test_port_in_use_is_one_clear_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        async with _started("work", QUIETUS_INGEST_PORT=str(port)) as process:
            problem = (await process.line("can't start"))["problem"]
            assert await process.end() == 1
    assert f"127.0.0.1:{port}" in problem
