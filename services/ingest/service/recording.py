"""Stores a group of batches in one transaction, each prediction once, and tells the feed of it."""

from collections.abc import Sequence
from uuid import UUID

from libs.common import failpoints
from libs.common.db.database import Database, Transaction
from libs.common.feed.outbox import OutboxEvent
from libs.common.observability.metrics import Metrics
from libs.common.rpc.errors import AppError, ErrorKind
from services.ingest.committer import Verdict
from services.ingest.content import Modality
from services.ingest.events import accepted_content, predictions_committed
from services.ingest.grouping import Accepted, Batch, Ledger, Stored
from services.ingest.sessions import Status
from services.ingest.store import predictions, sessions
from services.ingest.store.predictions import SeenBeforeError


class Recorder:
    def __init__(self, database: Database, metrics: Metrics) -> None:
        self._database = database
        self._metrics = metrics

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
        self._metrics.group_commit_predictions.observe(sum([batch.size for batch in group]))
        return verdicts

    async def _store(self, group: Sequence[Batch], *, look_first: bool) -> Sequence[Verdict]:
        async with self._database.transaction() as tx:
            refused = await _closed_sessions(tx, group)
            open_batches = [batch for batch in group if batch.session.session_id not in refused]
            ledger = Ledger(await _stored(tx, open_batches) if look_first else Stored())
            outcomes = {id(batch): ledger.decide(batch) for batch in open_batches}
            if not look_first:
                await _check_intervals(tx, ledger)
            for modality, rows in ledger.rows.items():
                if rows:
                    await predictions.insert(tx, modality, rows)
            tx.append_to_outbox([_event(accepted) for accepted in ledger.accepted])
            failpoints.hit("ingest.before_commit")
        return [refused.get(batch.session.session_id) or outcomes[id(batch)] for batch in group]


def _event(accepted: Accepted) -> OutboxEvent:
    batch = accepted.batch
    return predictions_committed(batch.session, batch.receive_time, accepted_content(accepted))


async def _closed_sessions(tx: Transaction, group: Sequence[Batch]) -> dict[UUID, AppError]:
    """Locks the group's sessions and says why some of them take nothing."""
    session_ids = {batch.session.session_id for batch in group}
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
    for modality in Modality:
        unseen = ledger.unseen(modality)
        for chunk in await predictions.stored(tx, modality, unseen):
            if chunk.interval != unseen[chunk.key]:
                raise SeenBeforeError


async def _stored(tx: Transaction, batches: Sequence[Batch]) -> Stored:
    keys = {
        batch.session.session_id.bytes + candidate.chunk.chunk_id for batch in batches for candidate in batch.candidates
    }
    found = {modality: await predictions.stored(tx, modality, keys) for modality in Modality}
    return Stored(
        digests={modality: {chunk.key: chunk.digest for chunk in chunks} for modality, chunks in found.items()},
        intervals={chunk.key: chunk.interval for chunks in found.values() for chunk in chunks},
    )
