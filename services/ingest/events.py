"""What ingest tells the other services."""

from collections.abc import Sequence
from functools import lru_cache
from uuid import UUID

from google.protobuf.timestamp_pb2 import Timestamp

from libs.common.feed.outbox import OutboxEvent
from libs.common.timestamps import to_timestamp
from libs.common.wire import tag, varint
from quietus.common.v1 import types_pb2
from quietus.common.v1.types_pb2 import Emotion
from quietus.ingest.v1 import events_pb2
from quietus.ingest.v1.predictions_pb2 import PredictionBatch
from quietus.ingest.v1.sessions_pb2 import SessionEndCause, SilenceCause
from services.ingest.features import to_features
from services.ingest.grouping import Batch
from services.ingest.sessions import Session, SessionKey
from services.ingest.silence import Silence
from services.ingest.vocabulary import EMOTIONS
from services.ingest.voice import VoiceSession

_PREDICTIONS_COMMITTED = tag(events_pb2.Event.PREDICTIONS_COMMITTED_FIELD_NUMBER)
_RECEIVE_TIME = tag(events_pb2.PredictionsCommitted.RECEIVE_TIME_FIELD_NUMBER)
_BATCH = tag(events_pb2.PredictionsCommitted.BATCH_FIELD_NUMBER)
_LATE = events_pb2.PredictionsCommitted(late=True).SerializeToString()


def event_head(session: SessionKey) -> bytes:
    """The fields that all PredictionsCommitted of a session share."""
    return events_pb2.PredictionsCommitted(
        user_id=str(session.user_id), anonymous_id=session.anonymous_id, session_id=str(session.session_id)
    ).SerializeToString()


def predictions_committed(
    user_id: UUID, head: bytes, receive_time: int, batch: bytes, *, late: bool = False
) -> OutboxEvent:
    """`head` is an event_head, `receive_time` in microseconds since 1970, `batch` a serialised PredictionBatch.

    Put together from serialised parts, so that a client's own bytes are embedded as they are.
    """
    body = b"".join((head, _received(receive_time), _BATCH, varint(len(batch)), batch, _LATE if late else b""))
    return OutboxEvent(user_id, b"".join((_PREDICTIONS_COMMITTED, varint(len(body)), body)))


def accepted_content(batch: Batch, indexes: Sequence[int]) -> bytes:
    """The batch without its refused and duplicate predictions."""
    if len(indexes) == batch.size_predictions:
        return batch.content
    sent = PredictionBatch.FromString(batch.content)
    kept = [sent.predictions[index] for index in indexes]
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
    assert session.end_cause is not None
    event = events_pb2.SessionEnded(
        user_id=str(session.key.user_id),
        anonymous_id=session.key.anonymous_id,
        session_id=str(session.key.session_id),
        end_time=to_timestamp(session.end_time),
        receive_time=to_timestamp(session.end_receive_time),
        cause=SessionEndCause.Value(f"SESSION_END_CAUSE_{session.end_cause}"),
    )
    return OutboxEvent(session.key.user_id, events_pb2.Event(session_ended=event).SerializeToString())


def voice_session_recorded(session: VoiceSession) -> OutboxEvent:
    """Without the words."""
    content = session.content
    event = events_pb2.VoiceSessionRecorded(
        user_id=str(session.user_id),
        anonymous_id=session.anonymous_id,
        voice_session_id=str(session.voice_session_id),
        start_time=to_timestamp(content.start_time),
        end_time=to_timestamp(content.end_time),
        emotion=Emotion.ValueType(EMOTIONS.index(content.emotion)),
        confidence=content.confidence,
        features=to_features(content.features),
        language=content.language,
        model_version=content.model_version,
        receive_time=to_timestamp(session.receive_time),
    )
    return OutboxEvent(session.user_id, events_pb2.Event(voice_session_recorded=event).SerializeToString())


def modality_silent(session: SessionKey, silence: Silence) -> OutboxEvent:
    event = events_pb2.ModalitySilent(
        user_id=str(session.user_id),
        anonymous_id=session.anonymous_id,
        session_id=str(session.session_id),
        modality=types_pb2.Modality.ValueType(silence.modality),
        since_time=to_timestamp(silence.since_time),
        cause=SilenceCause.Value(f"SILENCE_CAUSE_{silence.cause}"),
        receive_time=to_timestamp(silence.receive_time),
    )
    return OutboxEvent(session.user_id, events_pb2.Event(modality_silent=event).SerializeToString())


def modality_resumed(session: SessionKey, silence: Silence) -> OutboxEvent:
    """The silence must be over."""
    assert silence.resume_time is not None
    assert silence.resume_receive_time is not None
    event = events_pb2.ModalityResumed(
        user_id=str(session.user_id),
        anonymous_id=session.anonymous_id,
        session_id=str(session.session_id),
        modality=types_pb2.Modality.ValueType(silence.modality),
        since_time=to_timestamp(silence.since_time),
        resume_time=to_timestamp(silence.resume_time),
        receive_time=to_timestamp(silence.resume_receive_time),
    )
    return OutboxEvent(session.user_id, events_pb2.Event(modality_resumed=event).SerializeToString())


@lru_cache(maxsize=1024)
def _received(receive_time: int) -> bytes:
    """The field of the receive time."""
    seconds, microseconds = divmod(receive_time, 1_000_000)
    time = Timestamp(seconds=seconds, nanos=microseconds * 1000).SerializeToString()
    return _RECEIVE_TIME + varint(len(time)) + time
