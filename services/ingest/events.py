"""What ingest tells the other services."""

from datetime import datetime

from libs.common.feed.outbox import OutboxEvent
from libs.common.timestamps import to_timestamp
from quietus.ingest.v1 import events_pb2
from quietus.ingest.v1.predictions_pb2 import PredictionBatch
from services.ingest.grouping import Accepted, SessionKey
from services.ingest.sessions import Session

_LENGTH_DELIMITED = 2


def _tag(field_number: int) -> bytes:
    return bytes((field_number << 3 | _LENGTH_DELIMITED,))


_PREDICTIONS_COMMITTED = _tag(events_pb2.Event.PREDICTIONS_COMMITTED_FIELD_NUMBER)
_BATCH = _tag(events_pb2.PredictionsCommitted.BATCH_FIELD_NUMBER)


def predictions_committed(session: SessionKey, receive_time: datetime, batch: bytes) -> OutboxEvent:
    """`batch` is a serialised PredictionBatch; a client's own bytes are embedded as they are."""
    header = events_pb2.PredictionsCommitted(
        user_id=str(session.user_id),
        anonymous_id=session.anonymous_id,
        session_id=str(session.session_id),
        receive_time=to_timestamp(receive_time),
    )
    committed = header.SerializeToString() + _field(_BATCH, batch)
    return OutboxEvent(session.user_id, _field(_PREDICTIONS_COMMITTED, committed))


def accepted_content(accepted: Accepted) -> bytes:
    """The batch without its refused and duplicate predictions."""
    batch = accepted.batch
    if len(accepted.candidates) == batch.size:
        return batch.content
    sent = PredictionBatch.FromString(batch.content)
    kept = [sent.predictions[candidate.index] for candidate in accepted.candidates]
    return PredictionBatch(batch_number=batch.number, predictions=kept).SerializeToString()


def session_started(session: Session) -> OutboxEvent:
    event = events_pb2.SessionStarted(
        user_id=str(session.key.user_id),
        anonymous_id=session.key.anonymous_id,
        session_id=str(session.key.session_id),
        start_time=to_timestamp(session.start_time),
        receive_time=to_timestamp(session.receive_time),
    )
    return OutboxEvent(session.key.user_id, events_pb2.Event(session_started=event).SerializeToString())


def session_ended(session: Session) -> OutboxEvent:
    """The session must have ended."""
    assert session.end_time is not None
    assert session.end_receive_time is not None
    event = events_pb2.SessionEnded(
        user_id=str(session.key.user_id),
        anonymous_id=session.key.anonymous_id,
        session_id=str(session.key.session_id),
        end_time=to_timestamp(session.end_time),
        receive_time=to_timestamp(session.end_receive_time),
    )
    return OutboxEvent(session.key.user_id, events_pb2.Event(session_ended=event).SerializeToString())


def _field(tag: bytes, content: bytes) -> bytes:
    return tag + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    """Base 128, least significant group first."""
    groups = bytearray()
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    groups.append(value)
    return bytes(groups)
