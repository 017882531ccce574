"""What ingest promises: each acknowledged prediction is stored once, as it was sent, and told once, in order. Pure."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from quietus.ingest.v1.predictions_pb2 import Prediction, PredictionBatch
from tests.e2e.checker import MISSING, Difference

# Session id, chunk id, modality.
PredictionKey: TypeAlias = tuple[str, str, str]

FEED = "feed"


@dataclass(frozen=True)
class Stored:
    """A row of a table of predictions."""

    session_id: str
    batch_number: int
    prediction: Prediction


@dataclass(frozen=True)
class Told:
    """One client batch on the feed."""

    session_id: str
    batch: PredictionBatch


def key_of(session_id: str, prediction: Prediction) -> PredictionKey:
    return session_id, prediction.chunk_id, str(prediction.WhichOneof("modality"))


def violations(
    sent: Mapping[PredictionKey, Prediction],
    acknowledged: Collection[PredictionKey],
    stored: Sequence[Stored],
    told: Sequence[Told],
    streams: Mapping[str, int] | None = None,
) -> list[Difference]:
    """`sent` is in the order in which clients first sent; `told` in the feed's. What was sent without an
    acknowledgement may be stored, but nothing else may.

    `streams`: how many streams of a session were sent at the same time; one unless it says otherwise.
    """
    kept = [(key_of(row.session_id, row.prediction), row.prediction) for row in stored]
    heard = [(key_of(one.session_id, p), p) for one in told for p in one.batch.predictions]
    times_kept, times_heard = Counter(key for key, _ in kept), Counter(key for key, _ in heard)
    return [
        *(Difference(_table(key), key, "rows", 1, 0) for key in acknowledged if not times_kept[key]),
        *(Difference(_table(key), key, "rows", 1, times) for key, times in times_kept.items() if times > 1),
        *(Difference(FEED, key, "events", 1, times_heard[key]) for key in times_kept if times_heard[key] != 1),
        *(Difference(FEED, key, "events", 0, times) for key, times in times_heard.items() if key not in times_kept),
        *_other_content(sent, kept, "stored"),
        *_other_content(sent, heard, "told"),
        *_other_batch(stored, told),
        *_out_of_order(sent, told, streams or {}),
    ]


def _table(key: PredictionKey) -> str:
    return f"ingest.{key[2]}_predictions"


def _other_content(
    sent: Mapping[PredictionKey, Prediction], found: Sequence[tuple[PredictionKey, Prediction]], what: str
) -> Iterator[Difference]:
    for key, prediction in found:
        if key not in sent:
            yield Difference(_table(key), key, what, MISSING, "never sent")
        elif _readable(sent[key]) != _readable(prediction):
            yield Difference(_table(key), key, what, _readable(sent[key]), _readable(prediction))


def _readable(prediction: Prediction) -> Prediction:
    """Without what was sealed: the same words are sealed into other bytes each time."""
    copy = Prediction()
    copy.CopyFrom(prediction)
    if copy.HasField("text"):
        copy.text.ClearField("sealed_transcript")
        copy.text.ClearField("transcript_state")
    return copy


def _other_batch(stored: Sequence[Stored], told: Sequence[Told]) -> Iterator[Difference]:
    """The feed and the tables have to agree on who brought a prediction."""
    numbers = {key_of(one.session_id, p): one.batch.batch_number for one in told for p in one.batch.predictions}
    for row in stored:
        key = key_of(row.session_id, row.prediction)
        if numbers.get(key, row.batch_number) != row.batch_number:
            yield Difference(_table(key), key, "batch_number", numbers[key], row.batch_number)


def _out_of_order(
    sent: Mapping[PredictionKey, Prediction], told: Sequence[Told], streams: Mapping[str, int]
) -> Iterator[Difference]:
    """Numbers of n streams that each grow hold no n + 1 that fall; those of one stream only grow."""
    order = {key: index for index, key in enumerate(sent)}
    numbers: dict[str, list[int]] = {}
    for one in told:
        numbers.setdefault(one.session_id, []).append(one.batch.batch_number)
        places = [order.get(key_of(one.session_id, p), -1) for p in one.batch.predictions]
        if places != sorted(places):
            yield Difference(FEED, (one.session_id, one.batch.batch_number), "order in the batch", "as sent", places)
    for session_id, each in numbers.items():
        allowed = streams.get(session_id, 1)
        if (falling := longest_fall(each)) > allowed:
            yield Difference(FEED, (session_id,), "order of batches", f"{allowed} that fall", f"{falling}: {each}")


def longest_fall(numbers: Sequence[int]) -> int:
    """Length of the longest subsequence that never grows, by patience sorting."""
    tops: list[int] = []
    for number in numbers:
        # Each pile only grows; a number goes to the first pile whose top is smaller.
        place = bisect_left(tops, -number + 1)
        tops[place : place + 1] = [-number]
    return len(tops)
