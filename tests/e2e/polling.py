"""Waiting for what other processes do."""

import asyncio
from collections.abc import Awaitable, Callable

POLL_SECONDS = 0.01
# Longer than anything here takes: a bound on a hanging test, not a measurement.
PATIENCE_SECONDS = 60.0


async def until(condition: Callable[[], bool], what: str, within_seconds: float = PATIENCE_SECONDS) -> None:
    """Returns in the very step of the event loop in which the condition was seen. AssertionError when it never is."""
    give_up = asyncio.get_running_loop().time() + within_seconds
    while not condition():
        assert asyncio.get_running_loop().time() < give_up, f"not within {within_seconds:.0f} s: {what}"
        await asyncio.sleep(POLL_SECONDS)


async def eventually(
    question: Callable[[], Awaitable[str]], what: str, within_seconds: float = PATIENCE_SECONDS
) -> None:
    """Asks until the answer is empty; otherwise the answer says what is still missing."""
    give_up = asyncio.get_running_loop().time() + within_seconds
    while missing := await question():
        assert asyncio.get_running_loop().time() < give_up, f"not within {within_seconds:.0f} s: {what}: {missing}"
        await asyncio.sleep(POLL_SECONDS)
