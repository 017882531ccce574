"""`python -m tests.e2e.broken_ingest FILE`: ingest as it must not be, in the way that FILE names at the moment."""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from libs.common.db.database import Transaction
from libs.common.feed.outbox import OutboxEvent
from services.ingest.__main__ import main
from services.ingest.grouping import Batch, Outcome
from services.ingest.service.committer import Verdict
from services.ingest.service.recording import Recorder
from tests.e2e.broken import (
    ACKNOWLEDGES_FIRST,
    STORES_SOMETHING_ELSE,
    STORES_TWICE,
    TELLS_OUT_OF_ORDER,
    TELLS_TOO_LITTLE,
    TELLS_TWICE,
)

# Long enough for an acknowledgement to reach the device.
MOMENT_SECONDS = 0.02
# Done to the newest row after each group.
SPOILED = {
    STORES_TWICE: """
        INSERT INTO vision_predictions
        SELECT (jsonb_populate_record(p, jsonb_build_object('id', uuidv7(), 'chunk_id', uuidv7()))).*
        FROM vision_predictions AS p ORDER BY receive_time DESC LIMIT 1
    """,
    STORES_SOMETHING_ELSE: """
        UPDATE vision_predictions SET confidence = 1 - confidence
        WHERE (session_id, id) IN (SELECT session_id, id FROM vision_predictions ORDER BY receive_time DESC LIMIT 1)
    """,
}

_how = Path(sys.argv[1])
_store = Recorder.commit
_append = Transaction.append_to_outbox
_tasks: set[asyncio.Task[None]] = set()
_one_after_the_other = asyncio.Lock()


async def commit(self: Recorder, group: Sequence[Batch]) -> Sequence[Verdict]:
    how = await asyncio.to_thread(_how.read_text)
    if how == ACKNOWLEDGES_FIRST:
        task = asyncio.create_task(_store_later(self, group))
        _tasks.add(task)
        task.add_done_callback(_tasks.discard)
        return [Outcome(batch.number, batch.size_predictions, len(batch.candidates)) for batch in group]
    verdicts = await _store(self, group)
    if how in SPOILED:
        async with self._database.transaction() as tx:
            await tx.driver.execute(SPOILED[how])
    return verdicts


async def _store_later(recorder: Recorder, group: Sequence[Batch]) -> None:
    await asyncio.sleep(MOMENT_SECONDS)
    async with _one_after_the_other:
        await _store(recorder, group)


def append_to_outbox(self: Transaction, events: Sequence[OutboxEvent]) -> None:
    how = _how.read_text()
    if how == TELLS_TWICE:
        events = [*events, *events[:1]]
    elif how == TELLS_TOO_LITTLE:
        events = events[1:]
    elif how == TELLS_OUT_OF_ORDER:
        events = events[::-1]
    _append(self, events)


if __name__ == "__main__":
    Recorder.commit = commit  # type: ignore[method-assign]
    Transaction.append_to_outbox = append_to_outbox  # type: ignore[method-assign]
    main()
