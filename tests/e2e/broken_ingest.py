"""`python -m tests.e2e.broken_ingest`: ingest as it must not be. It acknowledges, and stores a moment later."""

import asyncio
from collections.abc import Sequence

from services.ingest.__main__ import main
from services.ingest.grouping import Batch, Outcome
from services.ingest.service.recording import Recorder

# Long enough for an acknowledgement to reach the device.
MOMENT_SECONDS = 0.02

_store = Recorder.commit
_tasks: set[asyncio.Task[None]] = set()
_one_after_the_other = asyncio.Lock()


async def acknowledge_first(self: Recorder, group: Sequence[Batch]) -> Sequence[Outcome]:
    task = asyncio.create_task(_store_later(self, group))
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)
    return [Outcome(batch.number, batch.size_predictions, len(batch.candidates)) for batch in group]


async def _store_later(recorder: Recorder, group: Sequence[Batch]) -> None:
    await asyncio.sleep(MOMENT_SECONDS)
    async with _one_after_the_other:
        await _store(recorder, group)


if __name__ == "__main__":
    Recorder.commit = acknowledge_first  # type: ignore[method-assign]
    main()
