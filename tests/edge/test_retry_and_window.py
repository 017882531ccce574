import asyncio

import pytest

from quietus.ingest.v1.ingest_pb2 import Credit
from quietus.ingest.v1.predictions_pb2 import Prediction, PredictionBatch
from quietus_edge.connection import is_loopback
from quietus_edge.retry import Backoff
from quietus_edge.spool import Batch
from quietus_edge.window import Window


def batch(number: int, predictions: int) -> Batch:
    return Batch(number, PredictionBatch(batch_number=number, predictions=[Prediction()] * predictions))


def test_delays_are_jittered_below_a_limit_that_doubles_to_its_bound() -> None:
    backoff = Backoff(1, 8)
    for limit in (1, 2, 4, 8, 8, 8):
        assert 0 <= backoff.next_seconds() <= limit
    backoff.reset()
    assert backoff.next_seconds() <= 1


def test_a_window_counts_batches_and_predictions() -> None:
    window = Window()
    assert window.room == 0
    window.grant(Credit(max_batches=2, max_predictions=10))
    window.sent(batch(1, 4))
    assert (window.in_flight, window.room) == (1, 6)
    window.sent(batch(2, 1))
    assert window.room == 0
    assert [one.number for one in window.acknowledged(2)] == [1, 2]
    assert window.acknowledged(2) == []
    assert window.room == 10


async def test_a_batch_greater_than_the_window_goes_alone() -> None:
    window = Window()
    window.grant(Credit(max_batches=2, max_predictions=3))
    await window.wait_for_room(5)
    window.sent(batch(1, 5))
    waiting = asyncio.create_task(window.wait_for_room(1))
    await asyncio.sleep(0)
    assert not waiting.done()
    window.acknowledged(1)
    await waiting


@pytest.mark.parametrize(
    ("address", "local"),
    [
        ("127.0.0.1:50052", True),
        ("[::1]:50052", True),
        ("localhost:50052", True),
        ("ingest.example:50052", False),
        ("10.0.0.1:50052", False),
    ],
)
def test_what_stays_on_this_machine(address: str, local: bool) -> None:
    assert is_loopback(address) is local


def test_a_heartbeat_counts_as_a_batch_until_it_is_answered() -> None:
    window = Window()
    assert not window.take_for_heartbeat()
    window.grant(Credit(max_batches=2, max_predictions=10))
    assert window.take_for_heartbeat()
    assert not window.take_for_heartbeat()
    window.sent(Batch(1, PredictionBatch(predictions=[Prediction()])))
    assert window.room == 0
    window.heartbeat_answered()
    assert window.room == 9
    assert window.take_for_heartbeat()
