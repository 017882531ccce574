"""Work that is told to end ends, though what it waited for answered with something else."""

import asyncio
from contextlib import suppress

import pytest

from libs.common.cancellation import end_if_cancelled, pause


async def test_a_lost_cancellation_ends_the_next_pause() -> None:
    async def work() -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.Future()
        await pause(0)

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_others_pause_and_go_on() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await asyncio.Future()
    end_if_cancelled()
    await pause(0)
