"""Group commit with a store that does as it is told."""

import asyncio
from collections.abc import Sequence

import pytest

from libs.common.rpc.errors import AppError, ErrorKind
from quietus.ingest.v1.predictions_pb2 import Prediction
from services.ingest.grouping import Batch
from services.ingest.service import batches
from services.ingest.service import committer as committer_module
from services.ingest.service.batches import Arrival
from services.ingest.service.committer import ENOUGH_BYTES, rest_seconds
from services.ingest.service.line import TURN_PREDICTIONS, Place
from tests.ingest import make
from tests.ingest.committing import WIDE, RecordingLane, Store, running


class BeatingLane(RecordingLane):
    def arrive(self, message: bytes, receive_time: int) -> Arrival | None:
        return None if message == b"heartbeat" else super().arrive(message, receive_time)


class PayingPlace(Place):
    def __init__(self, spent: list[int]) -> None:
        super().__init__()
        self._spent = spent

    def spend(self, predictions: int, now: int) -> None:
        self._spent.append(predictions)


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


async def test_without_the_database_streams_wait_and_calls_hear_of_it() -> None:
    store = Store()
    stream, call = RecordingLane(), RecordingLane()
    call.is_patient = False
    store.poison, store.error = {1}, AppError(ErrorKind.UNAVAILABLE, "DATABASE_UNAVAILABLE")
    async with running(store) as committer:
        stream.send(committer, 1)
        call.send(committer, 1)
        await call.hears()
        assert call.error is not None
        assert call.error.reason == "DATABASE_UNAVAILABLE"
        assert not store.availability.is_available
        assert (stream.durable, stream.error, store.groups) == ([], None, [])
        store.poison.clear()
        await stream.hears()
        assert store.availability.is_available
    assert stream.durable == [1]


async def test_a_session_that_somebody_holds_keeps_the_others_waiting_a_few_times_only() -> None:
    store = Store()
    good, held = RecordingLane(), RecordingLane()
    store.poison, store.error = {1}, AppError(ErrorKind.UNAVAILABLE, "DATABASE_BUSY")
    async with running(store) as committer:
        held.send(committer, 1)
        good.send(committer, 2)
        while held.error is None:
            await held.hears()
        await good.hears()
        assert store.availability.is_available
    assert held.error.reason == "DATABASE_BUSY"
    assert good.durable == [2]


async def test_a_device_that_floods_has_one_turn_in_each_group() -> None:
    store, flood, other = Store(), RecordingLane(), RecordingLane()
    store.open.clear()
    async with running(store, WIDE) as committer:
        flood.send(committer, 1)
        await store.busy.wait()
        for number in range(2, 30):
            flood.send(committer, number, predictions=TURN_PREDICTIONS // 2)
        other.send(committer, 101)
        store.open.set()
        while len(flood.durable) < 29:
            await flood.hears()
    assert store.groups[1] == [2, 3, 101]
    assert all(len(group) == 2 for group in store.groups[2:])


async def test_a_device_that_floods_takes_no_rest_from_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """However much of it waits, it is one turn that is ready."""
    seen: list[tuple[int, int]] = []

    def rest(interval_seconds: float, commit_seconds: float, ready_bytes: int) -> float:
        seen.append((committer.queued_bytes, ready_bytes))
        return 0.0

    monkeypatch.setattr(committer_module, "rest_seconds", rest)
    store, flood = Store(), RecordingLane()
    async with running(store, WIDE) as committer:
        for number in range(1, 41):
            flood.send(committer, number, predictions=TURN_PREDICTIONS)
        while len(flood.durable) < 40:
            await flood.hears()
        await asyncio.sleep(0)
    assert seen[0][0] > ENOUGH_BYTES > max(ready for _, ready in seen)
    assert seen[-1] == (0, 0)


async def test_what_waits_behind_a_failed_lane_of_its_device_is_stored_though_nothing_more_comes() -> None:
    store, failed, other = Store(), RecordingLane(), RecordingLane()
    other.place = failed.place
    store.poison = {1}
    store.open.clear()
    async with running(store, WIDE) as committer:
        for number in range(1, 20):
            failed.send(committer, number, predictions=TURN_PREDICTIONS)
        other.send(committer, 100)
        await store.busy.wait()
        for _ in range(10):  # more is made ready while the first group commits
            await asyncio.sleep(0)
        assert failed.place.ready_predictions == TURN_PREDICTIONS
        store.open.set()
        async with asyncio.timeout(30):
            await other.hears()
    assert failed.error is not None
    assert other.durable == [100]


async def test_what_is_no_batch_is_paid_for() -> None:
    spent: list[int] = []
    store, lane = Store(), BeatingLane()
    lane.place = PayingPlace(spent)
    async with running(store) as committer:
        committer.submit(lane, b"heartbeat")
        lane.send(committer, 1, predictions=3)
        await lane.hears()
    assert spent == [1, 3]


async def test_a_failed_lane_takes_nothing_more() -> None:
    store, lane, other = Store(), RecordingLane(), RecordingLane()
    store.poison = {1}
    async with running(store) as committer:
        lane.send(committer, 1)
        await lane.hears()
        lane.send(committer, 2)
        other.send(committer, 3)
        await other.hears()
    assert lane.durable == []
    assert store.groups == [[3]]


async def test_what_was_taken_before_a_refusal_goes_its_way() -> None:
    store, lane = Store(), RecordingLane()
    async with running(store) as committer:
        lane.send(committer, 1)
        lane.send(committer, 2, predictions=0)
        lane.send(committer, 3)
        while lane.durable != [1]:
            await lane.hears()
        lane.send(committer, 4)
        other = RecordingLane()
        other.send(committer, 5)
        await other.hears()
    assert (lane.durable, lane.error, lane.is_open) == ([1], None, False)


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


async def test_a_message_that_nobody_can_read_fails_its_lane_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    store, good, guilty = Store(), RecordingLane(), RecordingLane()
    monkeypatch.setattr(guilty, "arrive", lambda *_: 1 / 0)
    async with running(store) as committer:
        guilty.send(committer, 1)
        good.send(committer, 2)
        await good.hears()
    assert (good.durable, good.error) == ([2], None)
    assert guilty.error is not None
    assert guilty.error.reason == "INTERNAL"


async def test_slices_are_bounded_in_predictions(monkeypatch: pytest.MonkeyPatch) -> None:
    slices: list[int] = []

    def prepare(arrivals: Sequence[Arrival]) -> list[Batch]:
        slices.append(sum(arrival.size_predictions for arrival in arrivals))
        return batches.prepare(arrivals)

    monkeypatch.setattr(committer_module, "prepare", prepare)
    store, lanes = Store(), [RecordingLane() for _ in range(4)]
    async with running(store) as committer:
        for lane in lanes:
            committer.submit(lane, make.batch(1, [Prediction()] * 400).SerializeToString())
        for lane in lanes:
            await lane.hears()
    assert slices == [800, 800]


def test_a_group_rests_for_its_interval_and_as_long_as_a_commit_takes_within_bounds() -> None:
    assert rest_seconds(0.010, 0.002, 0) == pytest.approx(0.008)
    assert rest_seconds(0.010, 0.030, 0) == pytest.approx(0.030)
    assert rest_seconds(0.010, 5.0, 0) == pytest.approx(0.050)
    assert rest_seconds(0.100, 0.020, 0) == pytest.approx(0.080)


def test_a_group_does_not_rest_while_enough_waits_for_the_next_one() -> None:
    assert rest_seconds(0.010, 0.030, ENOUGH_BYTES - 1) > 0.0
    assert rest_seconds(0.010, 0.030, ENOUGH_BYTES) == 0.0
