"""Group commit with a store that does as it is told."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from uuid import uuid4

from libs.common.rpc.errors import AppError, ErrorKind
from quietus_edge.ids import uuid7
from services.ingest.grouping import Batch, Outcome
from services.ingest.service.batches import SessionBatches
from services.ingest.service.committer import Committer, Lane, Limits, Verdict
from services.ingest.sessions import Session, SessionKey, Status
from tests.ingest import make

LIMITS = Limits(group_predictions=10, group_bytes=1_000_000, queue_bytes=5_000)


class RecordingLane(Lane):
    def __init__(self) -> None:
        session = Session(SessionKey(uuid7(), uuid4(), "anon"), Status.ACTIVE, make.now(), None, make.now(), None)
        super().__init__(SessionBatches(session))
        self.durable: list[int] = []
        self.news = asyncio.Event()

    def send(self, committer: Committer, number: int, predictions: int = 1) -> None:
        message = make.batch(number, [make.vision() for _ in range(predictions)])
        committer.submit(self, self.batches.arrive(message))

    def committed(self, outcomes: Sequence[Outcome]) -> None:
        self.durable.extend(outcome.batch_number for outcome in outcomes)
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

    async def commit(self, group: Sequence[Batch]) -> Sequence[Verdict]:
        self.busy.set()
        await self.open.wait()
        if self.poison & {batch.number for batch in group}:
            raise self.error
        self.groups.append([batch.number for batch in group])
        return [Outcome(batch.number, batch.size_predictions) for batch in group]


@asynccontextmanager
async def running(store: Store) -> AsyncIterator[Committer]:
    committer = Committer(store.commit, LIMITS)
    task = asyncio.create_task(committer.run())
    yield committer
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_what_comes_while_a_group_commits_becomes_the_next_group() -> None:
    store, lane = Store(), RecordingLane()
    async with running(store) as committer:
        store.open.clear()
        lane.send(committer, 1)
        await store.busy.wait()
        for number in (2, 3, 4):
            lane.send(committer, number)
        store.open.set()
        while lane.durable != [1, 2, 3, 4]:
            await lane.hears()
    assert store.groups == [[1], [2, 3, 4]]


async def test_a_group_is_closed_by_size() -> None:
    store, lane = Store(), RecordingLane()
    async with running(store) as committer:
        store.open.clear()
        for number in range(1, 5):
            lane.send(committer, number, predictions=5)
        store.open.set()
        while len(lane.durable) < 4:
            await lane.hears()
    assert all(len(group) <= 2 for group in store.groups)


async def test_only_the_guilty_stream_fails() -> None:
    store = Store()
    good, guilty = RecordingLane(), RecordingLane()
    store.poison = {666}
    async with running(store) as committer:
        good.send(committer, 1)
        guilty.send(committer, 665)
        guilty.send(committer, 666)
        good.send(committer, 2)
        while good.durable != [1, 2]:
            await good.hears()
        while guilty.error is None:
            await guilty.hears()
    assert good.error is None
    assert guilty.durable in ([], [665])
    assert (guilty.error.kind, guilty.error.reason) == (ErrorKind.INTERNAL, "INTERNAL")


async def test_without_the_database_everybody_hears_it_and_nobody_is_tried_alone() -> None:
    store = Store()
    lanes = [RecordingLane(), RecordingLane()]
    store.poison, store.error = {1}, AppError(ErrorKind.UNAVAILABLE, "DATABASE_UNAVAILABLE")
    async with running(store) as committer:
        for lane in lanes:
            lane.send(committer, 1)
        for lane in lanes:
            await lane.hears()
    assert [lane.error and lane.error.reason for lane in lanes] == 2 * ["DATABASE_UNAVAILABLE"]
    assert store.groups == []


async def test_a_failed_lane_takes_nothing_more() -> None:
    store, lane = Store(), RecordingLane()
    store.poison = {1}
    async with running(store) as committer:
        lane.send(committer, 1)
        await lane.hears()
        try:
            lane.send(committer, 2)
        except AppError as error:
            assert error is lane.error
        else:
            raise AssertionError("taken")


async def test_a_full_queue_asks_to_wait_until_there_is_room() -> None:
    store, lane = Store(), RecordingLane()
    store.open.clear()
    async with running(store) as committer:
        number = 0
        while not committer.is_full:
            number += 1
            lane.send(committer, number)
        waiting = asyncio.create_task(committer.room())
        await asyncio.sleep(0)
        assert not waiting.done()
        store.open.set()
        await waiting
        assert not committer.is_full
