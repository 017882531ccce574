"""For loops that try again for as long as the process lives.

What such a loop waits for may answer a cancellation with an error of its own, as a call that fails in that very moment.
The loop takes it for an outage, and would go on for good.
"""

import asyncio


def end_if_cancelled() -> None:
    """Raises CancelledError when the task was cancelled, though its cancellation got lost."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def pause(seconds: float) -> None:
    """Sleeps, but not when the task was cancelled before."""
    end_if_cancelled()
    await asyncio.sleep(seconds)
