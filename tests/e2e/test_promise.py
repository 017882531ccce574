"""What counts as a broken promise."""

import random
from collections.abc import Sequence
from itertools import pairwise

import pytest

from quietus.ingest.v1.predictions_pb2 import (
    Prediction,
    PredictionBatch,
    TextPrediction,
    VisionPrediction,
)
from tests.e2e.promise import Stored, Told, key_of, longest_fall, violations


def seen(chunk: str, score: float = 0.5) -> Prediction:
    return Prediction(chunk_id=chunk, vision=VisionPrediction(confidence=score))


BATCHES = {1: [seen("a"), seen("b")], 2: [seen("c")], 3: [seen("d"), seen("e")]}
SENT = {key_of("s", one): one for batch in BATCHES.values() for one in batch}


def stored(*numbers: int) -> list[Stored]:
    return [Stored("s", number, one) for number in numbers for one in BATCHES[number]]


def event(number: int, *predictions: Prediction) -> Told:
    return Told("s", PredictionBatch(batch_number=number, predictions=predictions))


def told(*numbers: int) -> list[Told]:
    return [event(number, *BATCHES[number]) for number in numbers]


def found(rows: Sequence[Stored], events: Sequence[Told], acknowledged: str = "abc", streams: int = 1) -> set[str]:
    """Columns of what isn't as it should be."""
    keys = {("s", chunk, "vision") for chunk in acknowledged}
    return {one.column for one in violations(SENT, keys, rows, events, {"s": streams})}


def test_what_was_not_acknowledged_may_be_stored_or_not() -> None:
    assert not found(stored(1, 2), told(1, 2))
    assert not found(stored(1, 2, 3), told(1, 2, 3))


def test_acknowledged_and_not_stored_or_stored_twice() -> None:
    assert found(stored(1), told(1)) == {"rows"}
    assert found([*stored(1, 2), *stored(2)], told(1, 2)) == {"rows"}


def test_stored_and_not_told_or_told_twice_or_told_and_not_stored() -> None:
    assert found(stored(1, 2), told(1)) == {"events"}
    assert found(stored(1, 2, 3), told(1, 2)) == {"events"}
    assert "events" in found(stored(1, 2), [*told(1, 2), event(4, seen("c"))])
    assert found(stored(1, 2), told(1, 2, 3)) == {"events"}


def test_other_content_and_what_nobody_sent() -> None:
    rows = [*stored(1), Stored("s", 2, seen("c", 0.6))]
    assert found(rows, told(1, 2)) == {"stored"}
    assert found(
        stored(1, 2), [*told(1), Told("s", PredictionBatch(batch_number=2, predictions=[seen("c", 0.6)]))]
    ) == {"told"}
    strange = Stored("s", 2, seen("z"))
    assert found([*stored(1, 2), strange], told(1, 2)) == {"stored", "events"}


def test_a_sealed_transcript_is_no_other_content() -> None:
    sent = Prediction(chunk_id="t", text=TextPrediction(confidence=0.5))
    kept = Prediction(
        chunk_id="t", text=TextPrediction(confidence=0.5, sealed_transcript=b"sealed", transcript_state=1)
    )
    events = [Told("s", PredictionBatch(batch_number=1, predictions=[kept]))]
    assert not violations({key_of("s", sent): sent}, set(), [Stored("s", 1, kept)], events)


def test_the_feed_and_the_tables_name_the_same_batch() -> None:
    rows = [*stored(1), Stored("s", 3, seen("c"))]
    assert found(rows, told(1, 2)) == {"batch_number"}


def test_batches_of_one_stream_grow_and_streams_may_mix() -> None:
    assert found(stored(1, 2, 3), told(2, 1, 3)) == {"order of batches"}
    assert not found(stored(1, 2, 3), told(2, 1, 3), streams=2)
    assert found(stored(1, 2, 3), told(3, 2, 1), streams=2) == {"order of batches"}


def test_predictions_of_a_batch_stay_in_order() -> None:
    assert found(stored(1, 2), [event(1, *BATCHES[1][::-1]), *told(2)]) == {"order in the batch"}


@pytest.mark.parametrize("seed", range(20))
def test_longest_fall_is_the_longest(seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311 - repeatable on purpose
    numbers = [rng.randint(1, 6) for _ in range(rng.randint(0, 9))]
    chosen = [[n for place, n in enumerate(numbers) if bits >> place & 1] for bits in range(1 << len(numbers))]
    falls = [one for one in chosen if all(before >= after for before, after in pairwise(one))]
    assert longest_fall(numbers) == max(map(len, falls))
