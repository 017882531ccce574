"""For loops that try again for as long as the process lives."""

import asyncio


async def pause(seconds: float) -> None:
    """Sleeps. Raises CancelledError also when an earlier cancellation of the task got lost.

    What a loop waits for may answer a cancellation with an error of its own, as a call that fails in that very moment,
    and the loop takes it for an outage: it would go on for good.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
    await asyncio.sleep(seconds)
