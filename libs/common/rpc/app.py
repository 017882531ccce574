"""The life of a service process: logs, metrics, server, background work, and an orderly end."""

import asyncio
import gc
import signal
import sys
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, TypeVar

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
Task = asyncio.Task[Any]

CANCEL_AGAIN_SECONDS = 3.0


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

    tasks = [asyncio.create_task(_awaited(work)) for work in (become_ready, *running.background)]
    if await _stops(stop, tasks):
        running.drains()
        # Background work goes on until the last acknowledgement: ingest's group commit is one of its tasks.
        await running.server.drain(grace_seconds)
    else:
        await running.server.drain(grace_seconds=0)  # callers are better off with the next process
    await _end(tasks)
    return 1 if any(map(_failure, tasks)) else 0


async def _stops(stop: asyncio.Event, tasks: Collection[Task]) -> bool:
    """Waits until it is asked for, or until one of the tasks has failed: False."""
    asked = asyncio.create_task(stop.wait())
    working = {asked, *tasks}
    failed = False
    while not asked.done() and not failed:
        done, working = await asyncio.wait(working, return_when=asyncio.FIRST_COMPLETED)
        failed = any(map(_failure, done))
    asked.cancel()
    return not failed


async def _end(tasks: Collection[Task]) -> None:
    """A cancellation can get lost in what a task waits for, and a process that never ends is worse than work that is
    cut off: after a while everything is cancelled, again and again.
    """
    ending: Collection[Task] = tasks
    while True:
        for task in ending:
            task.cancel()
        _, pending = await asyncio.wait(tasks, timeout=CANCEL_AGAIN_SECONDS)
        if not pending:
            return
        ending = asyncio.all_tasks() - {asyncio.current_task()}
        log.warning("cancelled work goes on", work=sorted(_name(task) for task in ending))


def _failure(task: Task) -> BaseException | None:
    return None if task.cancelled() else task.exception()


def _name(task: Task) -> str:
    return getattr(task.get_coro(), "__qualname__", "")


async def _awaited(work: Callable[[], Awaitable[None]]) -> None:
    try:
        await work()
    except Exception as error:  # said at once: other work may take its time to end
        log.error("background work died", **describe_failure(error))
        raise
