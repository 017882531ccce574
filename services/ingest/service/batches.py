"""Makes batches ready to be stored: checked, normalised, digested and packed, as many at once as there are."""

import time
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from libs.common.rpc.errors import AppError, ErrorKind
from quietus.ingest.v1.predictions_pb2 import Prediction, PredictionBatch
from quietus_edge.cues import Extraction
from services.ingest.content.chunk import earliest_start, latest_end
from services.ingest.content.columns import Refusals
from services.ingest.content.digest import content_digests
from services.ingest.events import event_head
from services.ingest.grouping import Batch, Candidate, Origin, Outcome, Refusal
from services.ingest.reading import read
from services.ingest.senders import NUMBERS
from services.ingest.sessions import Session
from services.ingest.store.rows import batch_fields, rows, session_fields
from services.ingest.unsealed import Sealer, sealed_contents

PREDICTIONS_MAX = 5_000
# What is found in plain words, by the index of their prediction.
Found = Mapping[int, Extraction]
NOTHING: Found = MappingProxyType({})


class SessionBatches:
    """Made once for a stream: what is the same for all its batches is made here."""

    def __init__(self, session: Session, first_number: int = 0, sealer: Sealer | None = None) -> None:
        """`first_number` is added to the numbers that the sender gives its batches. Without a sealer, plain words are
        refused.
        """
        key = session.key
        self.sealer = sealer
        self.first_number = first_number
        self.start_time = session.start_microseconds
        self.row_head = session_fields(key.session_id, key.user_id)
        self.origin = Origin(key.session_id.bytes, key.user_id, event_head(key))

    def arrive(self, message: PredictionBatch, receive_time: int, size_bytes: int, found: Found = NOTHING) -> "Arrival":
        """INVALID_ARGUMENT BATCH_EMPTY, BATCH_TOO_LARGE, BATCH_NUMBER_NOT_GROWING, BATCH_NUMBER_TOO_LARGE."""
        number, predictions = message.batch_number, message.predictions
        size = len(predictions)
        if not size:
            raise AppError(ErrorKind.INVALID_ARGUMENT, "BATCH_EMPTY", field="batch.predictions")
        if size > PREDICTIONS_MAX:
            raise AppError(ErrorKind.INVALID_ARGUMENT, "BATCH_TOO_LARGE", field="batch.predictions")
        if number < 1:
            raise AppError(ErrorKind.INVALID_ARGUMENT, "BATCH_NUMBER_NOT_GROWING", field="batch.batch_number")
        if number >= NUMBERS:
            raise AppError(ErrorKind.INVALID_ARGUMENT, "BATCH_NUMBER_TOO_LARGE", field="batch.batch_number")
        if self.first_number:
            number += self.first_number
            message.batch_number = number
        return Arrival(self, message, predictions, number, receive_time, size, size_bytes, found)

    def as_sent(self, outcome: Outcome) -> Outcome:
        """With the number that the sender gave the batch."""
        if not self.first_number:
            return outcome
        return outcome._replace(batch_number=outcome.batch_number - self.first_number)


class Arrival(NamedTuple):
    """A batch as it came. `receive_time` in microseconds since 1970."""

    session: SessionBatches
    message: PredictionBatch
    predictions: Sequence[Prediction]
    number: int
    receive_time: int
    size_predictions: int
    size_bytes: int
    found: Found


def now() -> int:
    """In microseconds since 1970, to the millisecond: what comes within one shares the bytes of its time."""
    return time.time_ns() // 1_000_000 * 1000


def prepare(arrivals: Sequence[Arrival]) -> list[Batch]:
    """Normalises the messages in place, and takes out of them what the contract doesn't know, which nobody checked."""
    for arrival in arrivals:
        arrival.message.DiscardUnknownFields()
    sizes = [arrival.size_predictions for arrival in arrivals]
    session_starts = np.array([arrival.session.start_time for arrival in arrivals])
    receive_times = np.array([arrival.receive_time for arrival in arrivals])
    predictions = [prediction for arrival in arrivals for prediction in arrival.predictions]
    content = read(
        predictions,
        earliest=np.repeat(earliest_start(session_starts), sizes),
        latest=np.repeat(latest_end(session_starts, receive_times), sizes),
    )
    # Of what the client said: neither words that it didn't seal nor what is made of them.
    digests = content_digests(content.modalities, content.chunks, content.contents)
    contents = content.contents
    if content.unsealed:
        sealers = [arrival.session.sealer for arrival in arrivals for _ in arrival.predictions]
        contents = sealed_contents(content, predictions, sealers, _by_row(arrivals))
    indexes = [index for size in sizes for index in range(size)]
    heads = [arrival.session.row_head + batch_fields(arrival.receive_time, arrival.number) for arrival in arrivals]
    row_heads = [head for head, size in zip(heads, sizes, strict=True) for _ in range(size)]
    packed = rows(content.modalities, row_heads, indexes, digests, content.chunks, contents)
    candidates = list(zip(indexes, content.modalities, content.chunks, digests, packed, strict=True))
    batches = []
    end = 0
    for arrival in arrivals:
        start, end = end, end + arrival.size_predictions
        good: Sequence[Candidate] = candidates[start:end]
        bad: Sequence[Refusal] = ()
        if content.refused:
            good, bad = _sorted_out(good, start, content.refused)
        batches.append(_batch(arrival, good, bad))
    return batches


def _by_row(arrivals: Sequence[Arrival]) -> Found:
    found: dict[int, Extraction] = {}
    first_row = 0
    for arrival in arrivals:
        found |= {first_row + index: one for index, one in arrival.found.items()}
        first_row += arrival.size_predictions
    return found


def _batch(arrival: Arrival, candidates: Sequence[Candidate], refusals: Sequence[Refusal]) -> Batch:
    return Batch(
        arrival.session.origin,
        arrival.number,
        arrival.receive_time,
        arrival.size_predictions,
        arrival.size_bytes,
        arrival.message.SerializeToString(),
        candidates,
        refusals,
    )


def _sorted_out(
    candidates: Sequence[Candidate], first_row: int, refused: Refusals
) -> tuple[Sequence[Candidate], Sequence[Refusal]]:
    """Candidates and refusals of one batch, whose rows begin with `first_row`."""
    of_batch = range(first_row, first_row + len(candidates))
    good = [candidate for row, candidate in zip(of_batch, candidates, strict=True) if row not in refused]
    return good, [Refusal(row - first_row, *refused[row]) for row in of_batch if row in refused]
