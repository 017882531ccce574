"""Makes a session's batches ready to be stored: checked, normalised, digested and packed before they wait."""

import time
from dataclasses import dataclass

from libs.common.rpc.errors import AppError, ErrorKind
from quietus.ingest.v1.predictions_pb2 import PredictionBatch
from services.ingest.content.chunk import earliest_start, latest_end
from services.ingest.content.digest import content_digest
from services.ingest.content.scalars import Refused
from services.ingest.events import event_head
from services.ingest.grouping import Batch, Candidate, Origin, Refusal
from services.ingest.reading import read_chunk, read_content
from services.ingest.sessions import Session
from services.ingest.store.rows import batch_fields, row, session_fields

PREDICTIONS_MAX = 5_000


@dataclass(slots=True)
class Arrival:
    """A batch as it came. `receive_time` in microseconds since 1970."""

    message: PredictionBatch
    receive_time: int
    size_predictions: int
    size_bytes: int


class SessionBatches:
    """Made once for a stream: what is the same for all its batches is made here."""

    def __init__(self, session: Session) -> None:
        key = session.key
        self._start_time = session.start_microseconds
        self._earliest_start = earliest_start(self._start_time)
        self._row_head = session_fields(key.session_id, key.user_id)
        self._origin = Origin(key.session_id.bytes, key.user_id, event_head(key))

    def arrive(self, message: PredictionBatch) -> Arrival:
        """INVALID_ARGUMENT BATCH_EMPTY, BATCH_TOO_LARGE, BATCH_NUMBER_NOT_GROWING."""
        size = len(message.predictions)
        if not size:
            raise AppError(ErrorKind.INVALID_ARGUMENT, "BATCH_EMPTY", field="batch.predictions")
        if size > PREDICTIONS_MAX:
            raise AppError(ErrorKind.INVALID_ARGUMENT, "BATCH_TOO_LARGE", field="batch.predictions")
        if message.batch_number < 1:
            raise AppError(ErrorKind.INVALID_ARGUMENT, "BATCH_NUMBER_NOT_GROWING", field="batch.batch_number")
        return Arrival(message, time.time_ns() // 1000, size, message.ByteSize())

    def prepare(self, arrival: Arrival) -> Batch:
        """Normalises the message in place, and takes out of it what the contract doesn't know, which nobody checked."""
        message, receive_time = arrival.message, arrival.receive_time
        message.DiscardUnknownFields()
        earliest, latest = self._earliest_start, latest_end(self._start_time, receive_time)
        shared = self._row_head + batch_fields(receive_time, message.batch_number)
        candidates: list[Candidate] = []
        refusals: list[Refusal] = []
        for index, prediction in enumerate(message.predictions):
            try:
                chunk = read_chunk(prediction, earliest, latest)
                modality, content = read_content(prediction)
            except Refused as refused:
                refusals.append(Refusal(index, refused.field, refused.reason))
                continue
            digest = content_digest(chunk, modality, content)
            candidates.append((index, modality, chunk, digest, row(modality, shared, index, digest, chunk, content)))
        return Batch(
            self._origin,
            message.batch_number,
            receive_time,
            arrival.size_predictions,
            arrival.size_bytes,
            message.SerializeToString(),
            candidates,
            refusals,
        )
