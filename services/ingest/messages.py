"""From the domain and stored rows to the contract's messages."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from libs.common.pagination import PageValue
from libs.common.timestamps import to_timestamp
from quietus.common.v1 import types_pb2
from quietus.common.v1.types_pb2 import Emotion, EmotionDistribution, RiskLevel
from quietus.ingest.v1.ingest_pb2 import (
    Acknowledgement,
    BatchOutcome,
    Credit,
    Drain,
    ExportedPredictions,
    ExportSessionResponse,
    ExportSummary,
    GetSessionResponse,
    ModalityCount,
    Refusal,
    RefusalReason,
    Session,
    SessionStatus,
    StoredPrediction,
    StreamPredictionsResponse,
)
from quietus.ingest.v1.predictions_pb2 import (
    AudioPrediction,
    Prediction,
    TextCues,
    TextPrediction,
    TranscriptState,
    VisionPrediction,
    VoiceFeatures,
)
from quietus.ingest.v1.sessions_pb2 import (
    ClockEstimate,
    HeartbeatAnswer,
    ModalitySilence,
    SessionEndCause,
    SessionSender,
    SilenceCause,
)
from quietus_edge.ids import EPOCH
from services.ingest import clock_skew, grouping, sessions
from services.ingest.grouping import Outcome
from services.ingest.senders import Sender
from services.ingest.service.exports import Part, Place
from services.ingest.service.heartbeats import Beat
from services.ingest.service.sessions import SessionDetails
from services.ingest.service.stream import Acknowledged, Answer, CreditChanged
from services.ingest.silence import Silence
from services.ingest.vocabulary import (
    CRISIS_SIGNALS,
    EMOTIONS,
    FEATURES,
    RISK_LEVELS,
    TRANSCRIPT_STATES,
    Modality,
)

MICROSECONDS = 1_000_000


def to_session(session: sessions.Session, grace: timedelta) -> Session:
    end = session.end_receive_time
    return Session(
        session_id=str(session.key.session_id),
        anonymous_id=session.key.anonymous_id,
        status=SessionStatus.Value(f"SESSION_STATUS_{session.status}"),
        start_time=to_timestamp(session.start_time),
        end_time=to_timestamp(session.end_time) if session.end_time else None,
        create_time=to_timestamp(session.receive_time),
        end_cause=SessionEndCause.Value(f"SESSION_END_CAUSE_{session.end_cause or 'UNSPECIFIED'}"),
        grace_end_time=to_timestamp(end + grace) if end else None,
        device_id=_id(session.device_id),
    )


def to_details(details: SessionDetails, grace: timedelta) -> GetSessionResponse:
    return GetSessionResponse(
        session=to_session(details.session, grace),
        counts=to_counts(details.counts),
        senders=[_to_sender(sender, details.clocks.get(sender.sender_id)) for sender in details.senders],
        silences=map(_to_silence, details.silences),
    )


def _to_silence(silence: Silence) -> ModalitySilence:
    return ModalitySilence(
        modality=types_pb2.Modality.ValueType(silence.modality),
        since_time=to_timestamp(silence.since_time),
        resume_time=to_timestamp(silence.resume_time) if silence.resume_time else None,
        cause=SilenceCause.Value(f"SILENCE_CAUSE_{silence.cause}"),
    )


def _to_sender(sender: Sender, clock: clock_skew.ClockEstimate | None) -> SessionSender:
    return SessionSender(
        sender_id=str(sender.sender_id),
        device_id=_id(sender.device_id),
        ordinal=sender.ordinal,
        first_receive_time=to_timestamp(sender.receive_time),
        last_receive_time=to_timestamp(sender.last_receive_time),
        clock=to_clock(clock),
    )


def _id(value: UUID | None) -> str:
    return str(value) if value else ""


def to_outcome(outcome: Outcome) -> BatchOutcome:
    return BatchOutcome(
        batch_number=outcome.batch_number,
        accepted=outcome.accepted,
        duplicates=outcome.duplicates,
        refusals=map(_to_refusal, outcome.refusals),
    )


def _to_refusal(refusal: grouping.Refusal) -> Refusal:
    return Refusal(index=refusal.index, field=refusal.field, reason=RefusalReason.ValueType(refusal.reason))


def to_answer(answer: Answer, credit: Credit) -> StreamPredictionsResponse:
    """`credit` is what may be in flight from now on."""
    if isinstance(answer, Beat):
        return StreamPredictionsResponse(heartbeat=_to_heartbeat_answer(answer))
    if isinstance(answer, CreditChanged):
        return StreamPredictionsResponse(credit=credit)
    if not isinstance(answer, Acknowledged):
        return StreamPredictionsResponse(drain=Drain())
    return StreamPredictionsResponse(
        acknowledgement=Acknowledgement(
            through_batch_number=answer.through_batch_number,
            outcomes=map(to_outcome, answer.outcomes),
            credit=credit,
        )
    )


def _to_heartbeat_answer(beat: Beat) -> HeartbeatAnswer:
    return HeartbeatAnswer(
        client_time=beat.client_time,
        server_time=to_timestamp(EPOCH + beat.server_time * EPOCH.resolution),
        clock=to_clock(beat.clock),
    )


def to_clock(clock: clock_skew.ClockEstimate | None) -> ClockEstimate | None:
    if clock is None:
        return None
    uncertainty = clock.uncertainty_microseconds
    return ClockEstimate(
        skew_seconds=clock.skew_microseconds / MICROSECONDS,
        uncertainty_seconds=None if uncertainty is None else uncertainty / MICROSECONDS,
        samples=clock.samples,
        estimate_time=to_timestamp(EPOCH + clock.estimate_time * EPOCH.resolution),
    )


def to_stored_prediction(modality: Modality, row: Any) -> StoredPrediction:
    """`row` has the columns of the modality's table."""
    return StoredPrediction(
        prediction=to_prediction(modality, row),
        batch_number=row.batch_number,
        receive_time=to_timestamp(row.receive_time),
        content_digest=row.content_digest,
        late=bool(row.late),
    )


def to_counts(counts: Mapping[Modality, int]) -> list[ModalityCount]:
    return [ModalityCount(modality=types_pb2.Modality.ValueType(m), predictions=counts[m]) for m in Modality]


def to_exported(part: Part, page_token: str) -> ExportSessionResponse:
    if not part.rows:
        summary = ExportSummary(counts=to_counts(part.place.counts))
        return ExportSessionResponse(summary=summary, page_token=page_token)
    predictions = [to_stored_prediction(part.modality, row) for row in part.rows]
    return ExportSessionResponse(predictions=ExportedPredictions(predictions=predictions), page_token=page_token)


def from_place(place: Place) -> list[PageValue]:
    after = None if place.after is None else str(place.after)
    return [int(place.modality), after, *(place.counts[modality] for modality in Modality)]


def to_place(values: Sequence[PageValue] | None) -> Place:
    """What from_place made of one; the beginning without."""
    if values is None:
        return Place.BEGINNING
    modality, after, *counts = values
    return Place(
        Modality(int(modality or 0)),
        None if after is None else UUID(str(after)),
        {modality: int(count or 0) for modality, count in zip(Modality, counts, strict=True)},
    )


def to_prediction(modality: Modality, row: Any) -> Prediction:
    message = Prediction(
        chunk_id=str(row.chunk_id),
        capture_start_time=to_timestamp(row.capture_start_time),
        capture_end_time=to_timestamp(row.capture_end_time),
    )
    if modality is Modality.VISION:
        message.vision.CopyFrom(_vision(row))
    elif modality is Modality.AUDIO:
        message.audio.CopyFrom(_audio(row))
    else:
        message.text.CopyFrom(_text(row))
    return message


def _vision(row: Any) -> VisionPrediction:
    return VisionPrediction(
        emotion=Emotion.ValueType(EMOTIONS.index(row.emotion)),
        confidence=float(row.confidence),
        distress_score=float(row.distress_score),
        frames_processed=row.frames_processed,
        distribution=_distribution(row),
        model_version=row.model_version,
    )


def _audio(row: Any) -> AudioPrediction:
    features = {name: getattr(row, name) for name in FEATURES}
    return AudioPrediction(
        emotion=Emotion.ValueType(EMOTIONS.index(row.emotion)),
        stress_score=float(row.stress_score),
        confidence=float(row.confidence),
        distribution=_distribution(row),
        features=VoiceFeatures(**features) if any(value is not None for value in features.values()) else None,
        model_version=row.model_version,
    )


def _text(row: Any) -> TextPrediction:
    return TextPrediction(
        risk_level=RiskLevel.ValueType(RISK_LEVELS.index(row.risk_level)),
        distress_probability=float(row.distress_probability),
        confidence=float(row.confidence),
        valence=None if row.valence is None else float(row.valence),
        cues=None if row.cues is None else _cues(row.cues),
        sealed_transcript=row.transcript,
        transcript_state=TranscriptState.ValueType(TRANSCRIPT_STATES.index(row.transcript_state)),
        model_version=row.model_version,
    )


def _distribution(row: Any) -> EmotionDistribution | None:
    if row.distribution_labels is None:
        return None
    return EmotionDistribution(labels=row.distribution_labels, probabilities=row.distribution_probabilities)


def _cues(stored: dict[str, Any]) -> TextCues:
    signals = [CRISIS_SIGNALS.index(name) for name in stored["crisis_signals"]]
    return TextCues(**{**stored, "crisis_signals": signals})
