"""Stores a group of batches in one transaction, each prediction once, and tells the feed of it."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from libs.common import failpoints
from libs.common.db.database import Database, Transaction
from libs.common.feed.outbox import OutboxEvent
from libs.common.observability.metrics import Metrics
from libs.common.rpc.errors import AppError, ErrorKind
from quietus_edge.ids import EPOCH
from services.ingest.content.chunk import ID
from services.ingest.events import accepted_content, predictions_committed
from services.ingest.grouping import Batch, ChunkKey, Ledger, Stored
from services.ingest.service.committer import Verdict
from services.ingest.sessions import is_closed
from services.ingest.store import predictions, sessions
from services.ingest.store.predictions import MonthMadeError, SeenBeforeError
from services.ingest.vocabulary import Modality

REMEMBERED_CHUNKS = 50_000


class Recorder:
    def __init__(self, database: Database, metrics: Metrics, grace: timedelta) -> None:
        """`grace`: how long after its end was received a session takes late predictions."""
        self._database = database
        self._metrics = metrics
        self._grace = grace
        # Of chunks that were committed here lately. The first interval of a chunk stands, so these are never wrong.
        self._intervals: dict[ChunkKey, bytes] = {}

    async def commit(self, group: Sequence[Batch]) -> Sequence[Verdict]:
        """What became of each batch. An AppError in the place of one: its session takes no predictions any more.

        Most groups hold nothing that was stored before, so it is written without a look; only when the tables say
        otherwise is it done again with one.
        """
        try:
            verdicts = await self._store(group, look_first=False)
        except (SeenBeforeError, MonthMadeError):
            verdicts = await self._store(group, look_first=True)
        failpoints.hit("ingest.after_commit_before_ack")
        self._metrics.group_commit_predictions.observe(sum([batch.size_predictions for batch in group]))
        return verdicts

    async def _store(self, group: Sequence[Batch], *, look_first: bool) -> Sequence[Verdict]:
        async with self._database.transaction() as tx:
            closed, ends = await self._lock_sessions(tx, group)
            ledger = Ledger(await _stored(tx, group) if look_first else Stored(), self._intervals)
            verdicts = [closed.get(batch.origin.session_id) or ledger.decide(batch) for batch in group]
            if not look_first:
                await _check_intervals(tx, ledger)
            for modality, rows in ledger.rows.items():
                if rows:
                    await predictions.insert(tx, modality, rows)
            tx.append_to_outbox([_event(*accepted, ends) for accepted in ledger.accepted])
            failpoints.hit("ingest.before_commit")
        self._remember(ledger.intervals)
        return verdicts

    async def _lock_sessions(
        self, tx: Transaction, group: Sequence[Batch]
    ) -> tuple[Mapping[bytes, AppError], Mapping[bytes, int]]:
        """Why some of the group's sessions take nothing, and when the ends of the others that have ended were received,
        in microseconds since 1970.
        """
        session_ids = {batch.origin.session_id for batch in group}
        known = await sessions.lock_ends(tx, session_ids)
        closed, ends = {}, {}
        for session_id in session_ids:
            if session_id not in known:
                closed[session_id] = AppError(ErrorKind.FAILED_PRECONDITION, "SESSION_EXPIRED")
            elif end := known[session_id]:
                ends[session_id] = (end - EPOCH) // EPOCH.resolution
                if is_closed(end, datetime.now(UTC), self._grace):
                    closed[session_id] = AppError(ErrorKind.FAILED_PRECONDITION, "SESSION_ENDED")
        return closed, ends

    def _remember(self, intervals: Mapping[ChunkKey, bytes]) -> None:
        if len(self._intervals) > REMEMBERED_CHUNKS:
            self._intervals.clear()
        self._intervals.update(intervals)


def _event(batch: Batch, indexes: Sequence[int], ends: Mapping[bytes, int]) -> OutboxEvent:
    content = accepted_content(batch, indexes)
    end = ends.get(batch.origin.session_id)
    late = end is not None and batch.receive_time > end
    origin = batch.origin
    return predictions_committed(origin.user_id, origin.event_head, batch.receive_time, content, late=late)


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
