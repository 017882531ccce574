"""The way of a message before anything is stored, called directly: many times as many as over a channel."""

from uuid import UUID

from libs.common.rpc.errors import AppError
from quietus.ingest.v1.predictions_pb2 import PredictionBatch
from services.ingest.content.chunk import ID
from services.ingest.events import accepted_content
from services.ingest.grouping import Batch
from services.ingest.service.batches import SessionBatches, now, prepare
from services.ingest.service.stream import parse_request
from services.ingest.sessions import Session, SessionKey, Status
from tests.fuzz.cases import Person


def batches_of(person: Person) -> SessionBatches:
    key = SessionKey(person.session_id, UUID(int=1), "anon_fuzz")
    return SessionBatches(Session(key, Status.ACTIVE, person.start_time, None, person.start_time, None))


def check(session: SessionBatches, message: bytes) -> None:
    """A message is refused with a reason, or each of its predictions is either taken or refused.

    What was taken is taken again as it is told, with the same digests.
    """
    try:
        received = now()
        (batch,) = prepare([session.arrive(parse_request(message).batch, received, len(message))])
    except AppError:
        return
    indexes = [candidate[0] for candidate in batch.candidates] + [refusal.index for refusal in batch.refusals]
    assert sorted(indexes) == list(range(batch.size_predictions))
    if accepted := [candidate[0] for candidate in batch.candidates]:
        told = PredictionBatch.FromString(accepted_content(batch, accepted))
        (again,) = prepare([session.arrive(told, received, 0)])
        assert not again.refusals
        assert _digests(again) == _digests(batch)


def _digests(batch: Batch) -> list[tuple[int, bytes, bytes]]:
    return [(modality, chunk[ID], digest) for _, modality, chunk, digest, _ in batch.candidates]
