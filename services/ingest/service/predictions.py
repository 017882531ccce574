"""Takes predictions and shows what was taken."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from libs.common.db.database import Database
from libs.common.rpc.caller import Caller
from libs.common.rpc.errors import AppError
from libs.common.rpc.validation import parser
from quietus.ingest.v1.predictions_pb2 import PredictionBatch
from services.ingest.grouping import Outcome
from services.ingest.service.activity import Activity
from services.ingest.service.batches import Arrival, SessionBatches
from services.ingest.service.committer import Committer, Lane
from services.ingest.service.sessions import Sessions
from services.ingest.service.stream import PredictionStream, StreamLimits
from services.ingest.store import predictions
from services.ingest.store.predictions import Page
from services.ingest.vocabulary import Modality

# So that an answer stays below what clients take by default, 4 MiB.
PAGE_TRANSCRIPT_BYTES = 1024 * 1024

_parse_batch = parser(PredictionBatch)


class Predictions:
    def __init__(
        self, database: Database, sessions: Sessions, committer: Committer, activity: Activity, limits: StreamLimits
    ) -> None:
        self._database = database
        self._activity = activity
        self._sessions = sessions
        self._committer = committer
        self.limits = limits

    @asynccontextmanager
    async def open_stream(
        self, caller: Caller, session_id: UUID, sender_id: UUID | None
    ) -> AsyncIterator[PredictionStream]:
        session, sender = await self._sessions.to_record(caller, session_id, sender_id)
        stream = PredictionStream(SessionBatches(session, sender.first_number), self._committer, self.limits)
        with self._activity.present(session, sender, stream):
            yield stream

    async def record(
        self, caller: Caller, session_id: UUID, sender_id: UUID | None, message: PredictionBatch
    ) -> Outcome:
        session, sender = await self._sessions.to_record(caller, session_id, sender_id)
        self._activity.heard(session, sender)
        single = _SingleBatch(SessionBatches(session, sender.first_number))
        await self._committer.room()
        self._committer.submit(single, message.SerializeToString())
        return await single.outcome

    async def page(self, caller: Caller, session_id: UUID, modality: Modality, after: UUID | None, limit: int) -> Page:
        async with self._database.read() as tx:
            await self._sessions.readable(tx, caller, session_id)
            return await predictions.page(tx, modality, session_id, after, limit, PAGE_TRANSCRIPT_BYTES)


class _SingleBatch(Lane):
    def __init__(self, batches: SessionBatches) -> None:
        super().__init__()
        self._batches = batches
        self.outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

    def arrive(self, message: bytes, receive_time: int) -> Arrival:
        return self._batches.arrive(_parse_batch(message), receive_time, len(message))

    def committed(self, outcome: Outcome) -> None:
        if not self.outcome.done():  # a caller that went away has cancelled it
            self.outcome.set_result(self._batches.as_sent(outcome))

    def refused(self, error: AppError) -> None:
        super().refused(error)
        if not self.outcome.done():
            self.outcome.set_exception(error)

    def failed(self, error: AppError) -> None:
        super().failed(error)
        if not self.outcome.done():
            self.outcome.set_exception(error)
