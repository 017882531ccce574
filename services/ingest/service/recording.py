"""Stores a group of batches in one transaction, each prediction once, and tells the feed of it."""

from collections.abc import Mapping, Sequence

from libs.common import failpoints
from libs.common.db.database import Database, Transaction
from libs.common.feed.outbox import OutboxEvent
from libs.common.observability.metrics import Metrics
from libs.common.rpc.errors import AppError, ErrorKind
from services.ingest.content.chunk import ID
from services.ingest.events import accepted_content, predictions_committed
from services.ingest.grouping import Batch, ChunkKey, Ledger, Stored
from services.ingest.service.committer import Verdict
from services.ingest.sessions import Status
from services.ingest.store import predictions, sessions
from services.ingest.store.predictions import SeenBeforeError
from services.ingest.vocabulary import Modality

REMEMBERED_CHUNKS = 50_000


class Recorder:
    def __init__(self, database: Database, metrics: Metrics) -> None:
        self._database = database
        self._metrics = metrics
        # Of chunks that were committed here lately. The first interval of a chunk stands, so these are never wrong.
        self._intervals: dict[ChunkKey, bytes] = {}

    async def commit(self, group: Sequence[Batch]) -> Sequence[Verdict]:
        """What became of each batch. An AppError in the place of one: its session takes no predictions any more.

        Most groups hold nothing that was stored before, so it is written without a look; only when the tables say
        otherwise is it done again with one.
        """
        try:
            verdicts = await self._store(group, look_first=False)
        except SeenBeforeError:
            verdicts = await self._store(group, look_first=True)
        failpoints.hit("ingest.after_commit_before_ack")
        self._metrics.group_commit_predictions.observe(sum([batch.size_predictions for batch in group]))
        return verdicts

    async def _store(self, group: Sequence[Batch], *, look_first: bool) -> Sequence[Verdict]:
        async with self._database.transaction() as tx:
            closed = await _closed_sessions(tx, group)
            ledger = Ledger(await _stored(tx, group) if look_first else Stored(), self._intervals)
            verdicts = [closed.get(batch.origin.session_id) or ledger.decide(batch) for batch in group]
            if not look_first:
                await _check_intervals(tx, ledger)
            for modality, rows in ledger.rows.items():
                if rows:
                    await predictions.insert(tx, modality, rows)
            tx.append_to_outbox([_event(*accepted) for accepted in ledger.accepted])
            failpoints.hit("ingest.before_commit")
        self._remember(ledger.intervals)
        return verdicts

    def _remember(self, intervals: Mapping[ChunkKey, bytes]) -> None:
        if len(self._intervals) > REMEMBERED_CHUNKS:
            self._intervals.clear()
        self._intervals.update(intervals)


def _event(batch: Batch, indexes: Sequence[int]) -> OutboxEvent:
    content = accepted_content(batch, indexes)
    return predictions_committed(batch.origin.user_id, batch.origin.event_head, batch.receive_time, content)


async def _closed_sessions(tx: Transaction, group: Sequence[Batch]) -> dict[bytes, AppError]:
    """Locks the group's sessions and says why some of them take nothing."""
    session_ids = {batch.origin.session_id for batch in group}
    statuses = await sessions.lock_statuses(tx, session_ids)
    closed = {}
    for session_id in session_ids:
        if session_id not in statuses:
            closed[session_id] = AppError(ErrorKind.FAILED_PRECONDITION, "SESSION_EXPIRED")
        elif statuses[session_id] is Status.ENDED:
            closed[session_id] = AppError(ErrorKind.FAILED_PRECONDITION, "SESSION_ENDED")
    return closed


async def _check_intervals(tx: Transaction, ledger: Ledger) -> None:
    """Raises SeenBeforeError when a chunk has another interval in a table that the group doesn't add it to."""
    unseen = {modality: ledger.unseen(modality) for modality in Modality}
    for chunk in await predictions.stored(tx, unseen):
        if chunk.interval != ledger.intervals[chunk.key]:
            raise SeenBeforeError


async def _stored(tx: Transaction, group: Sequence[Batch]) -> Stored:
    keys = {batch.origin.session_id + chunk[ID] for batch in group for _, _, chunk, _, _ in batch.candidates}
    digests: dict[Modality, dict[ChunkKey, bytes]] = {modality: {} for modality in Modality}
    intervals: dict[ChunkKey, bytes] = {}
    for chunk in await predictions.stored(tx, dict.fromkeys(Modality, keys)):
        digests[chunk.modality][chunk.key] = chunk.digest
        intervals[chunk.key] = chunk.interval
    return Stored(digests, intervals)
