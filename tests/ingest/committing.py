"""A store that does as it is told, for tests of group commit."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from uuid import uuid4

from libs.common.db.availability import Availability
from libs.common.db.database import Database
from libs.common.rpc.errors import AppError
from quietus.ingest.v1.predictions_pb2 import PredictionBatch
from quietus_edge.ids import uuid7
from services.ingest.grouping import Batch, Outcome
from services.ingest.service.batches import Arrival, SessionBatches
from services.ingest.service.committer import Committer, Lane, Limits, Verdict
from services.ingest.service.line import Place
from services.ingest.sessions import Session, SessionKey, Status
from tests.ingest import make

LIMITS = Limits(group_predictions=10, group_bytes=1_000_000, group_interval_seconds=0, queue_bytes=5_000)

WIDE = Limits(group_predictions=5_000, group_bytes=1_000_000, group_interval_seconds=0, queue_bytes=1_000_000)


class RecordingLane(Lane):
    def __init__(self) -> None:
        session = Session(SessionKey(uuid7(), uuid4(), "anon"), Status.ACTIVE, make.now(), None, make.now(), None)
        super().__init__(Place())
        self.batches = SessionBatches(session)
        self.durable: list[int] = []
        self.news = asyncio.Event()

    def send(self, committer: Committer, number: int, predictions: int = 1) -> None:
        message = make.batch(number, [make.vision() for _ in range(predictions)])
        committer.submit(self, message.SerializeToString())

    def arrive(self, message: bytes, receive_time: int) -> Arrival | None:
        return self.batches.arrive(PredictionBatch.FromString(message), receive_time, len(message))

    def committed(self, outcome: Outcome) -> None:
        self.durable.append(outcome.batch_number)
        self.news.set()

    def failed(self, error: AppError) -> None:
        super().failed(error)
        self.news.set()

    async def hears(self) -> None:
        await self.news.wait()
        self.news.clear()


class Store:
    """Fails a group that holds a batch of a number in `poison`."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.poison: set[int] = set()
        self.error: Exception = RuntimeError()
        self.busy = asyncio.Event()
        self.open = asyncio.Event()
        self.open.set()
        # Never asked itself: nothing here connects.
        self.availability = Availability(Database("postgresql://nowhere/none", "ingest"))

    async def commit(self, group: Sequence[Batch]) -> Sequence[Verdict]:
        self.busy.set()
        await self.open.wait()
        if self.poison & {batch.number for batch in group}:
            raise self.error
        self.groups.append([batch.number for batch in group])
        return [Outcome(batch.number, batch.size_predictions, batch.size_predictions) for batch in group]


@asynccontextmanager
async def running(store: Store, limits: Limits = LIMITS) -> AsyncIterator[Committer]:
    committer = Committer(store.commit, limits, store.availability)
    task = asyncio.create_task(committer.run())
    yield committer
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
