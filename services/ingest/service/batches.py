"""Makes a batch ready to be stored: checked, normalised, digested and packed, all before it waits for its commit."""

from datetime import datetime

from libs.common.rpc.errors import AppError, ErrorKind
from quietus.ingest.v1.predictions_pb2 import PredictionBatch
from quietus_edge.ids import EPOCH
from services.ingest.checks import PREDICTIONS_MAX, Refused, capture_bounds
from services.ingest.content import modality_of
from services.ingest.digest import content_digest
from services.ingest.grouping import Batch, Candidate, Refusal
from services.ingest.reading import read
from services.ingest.sessions import Session
from services.ingest.store.rows import batch_fields, row


def check_size(message: PredictionBatch) -> int:
    """Predictions in the batch. INVALID_ARGUMENT BATCH_EMPTY, BATCH_TOO_LARGE, BATCH_NUMBER_NOT_GROWING."""
    count = len(message.predictions)
    if not count:
        raise AppError(ErrorKind.INVALID_ARGUMENT, "BATCH_EMPTY", field="batch.predictions")
    if count > PREDICTIONS_MAX:
        raise AppError(ErrorKind.INVALID_ARGUMENT, "BATCH_TOO_LARGE", field="batch.predictions")
    if message.batch_number < 1:
        raise AppError(ErrorKind.INVALID_ARGUMENT, "BATCH_NUMBER_NOT_GROWING", field="batch.batch_number")
    return count


def prepare(session: Session, message: PredictionBatch, receive_time: datetime) -> Batch:
    """Normalises the message in place, and takes out of it what the contract doesn't know: nobody has checked that."""
    received = (receive_time - EPOCH) // EPOCH.resolution
    bounds = capture_bounds(session.start_microseconds, received)
    fields = batch_fields(session.key.session_id, session.key.user_id, receive_time, message.batch_number)
    candidates: list[Candidate] = []
    refusals: list[Refusal] = []
    message.DiscardUnknownFields()
    for index, prediction in enumerate(message.predictions):
        try:
            chunk, content = read(prediction, bounds)
        except Refused as refused:
            refusals.append(Refusal(index, refused.field, refused.reason))
            continue
        digest = content_digest(chunk, content)
        candidates.append(
            Candidate(index, modality_of(content), chunk, digest, row(fields, index, chunk, digest, content))
        )
    return Batch(session.key, message.batch_number, receive_time, message.SerializeToString(), candidates, refusals)
