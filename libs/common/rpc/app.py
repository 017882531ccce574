"""The life of a service process: logs, metrics, server, background work, and an orderly end."""

import asyncio
import gc
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TypeVar

import structlog
import uvloop

from libs.common.observability.failure import describe_failure
from libs.common.observability.http import ObservabilityServer
from libs.common.observability.logging import configure_logging
from libs.common.observability.metrics import Metrics
from libs.common.rpc.errors import AppError
from libs.common.rpc.server import Server
from libs.common.security.keyring import KeyringError
from libs.common.settings import CommonSettings

log = structlog.get_logger()

S = TypeVar("S", bound=CommonSettings)


async def _nothing() -> None:
    """For services that have nothing to wait for or to close."""


def _nobody() -> None:
    """For services that have nobody to tell of their end."""


@dataclass(frozen=True, slots=True)
class Running:
    """The parts of a service, put together and not started yet."""

    server: Server
    background: Sequence[Callable[[], Awaitable[None]]] = ()
    """Followers and jobs. One that raises ends the process, so that its launcher starts it anew."""
    ready: Callable[[], Awaitable[None]] = _nothing
    """Returns when the service can answer; health says NOT_SERVING until then."""
    close: Callable[[], Awaitable[None]] = _nothing
    """Closes pools and channels, after everything else has ended."""
    drains: Callable[[], None] = _nobody
    """Called when the server begins to drain."""


Compose = Callable[[S, Metrics], Awaitable[Running]]


def run(service: str, settings: S, compose: Compose[S]) -> None:
    """Runs a service until SIGTERM or SIGINT; exits with 1 when it can't start or a background task dies."""
    collect_seldom()
    configure_logging(service, settings.log_level)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        sys.exit(runner.run(_run(service, settings, compose)))


def collect_seldom() -> None:
    """What is in flight are many small objects without cycles: to look for those stops everything for a while."""
    gc.set_threshold(100_000, 50, 100)


async def _run(service: str, settings: S, compose: Compose[S]) -> int:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    metrics = Metrics(service)
    async with AsyncExitStack() as stack:
        try:
            running = await compose(settings, metrics)
            stack.push_async_callback(running.close)
            observability = ObservabilityServer(
                settings.host, settings.metrics_port, metrics, running.server.is_serving
            )
            stack.callback(observability.close)
            log.info("listening", port=await running.server.start(), metrics_port=observability.start())
        except Exception as error:
            log.error("can't start", problem=_clear_text(error), **describe_failure(error))
            return 1
        return await _serve(running, stop, settings.drain_timeout_seconds)


def _clear_text(error: Exception) -> str:
    """Texts of our own and of the operating system hold nothing about a person; others aren't shown."""
    return str(error) if isinstance(error, OSError | AppError | KeyringError) else type(error).__name__


async def _serve(running: Running, stop: asyncio.Event, grace_seconds: float) -> int:
    async def become_ready() -> None:
        await running.ready()
        await running.server.set_serving(True)
        log.info("serving")

    exit_code = 0
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_awaited(work)) for work in (become_ready, *running.background)]
            await stop.wait()
            running.drains()
            # Background work goes on until the last acknowledgement: ingest's group commit is one of its tasks.
            await running.server.drain(grace_seconds)
            for task in tasks:
                task.cancel()
    except* Exception as failures:
        for failure in failures.exceptions:
            log.error("background work died", **describe_failure(failure))
        exit_code = 1
        await running.server.drain(grace_seconds=0)  # callers are better off with the next process
    return exit_code


async def _awaited(work: Callable[[], Awaitable[None]]) -> None:
    await work()
