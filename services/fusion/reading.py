"""From ingest's events to the domain."""

from collections.abc import Iterable, Sequence
from uuid import UUID

from libs.common.timestamps import to_datetime
from quietus.ingest.v1.events_pb2 import ModalitySilent, PredictionsCommitted, SessionEnded
from quietus.ingest.v1.predictions_pb2 import AudioPrediction, TextPrediction, VisionPrediction
from quietus.ingest.v1.predictions_pb2 import Prediction as PredictionMessage
from quietus.ingest.v1.sessions_pb2 import SILENCE_CAUSE_FAILED, SILENCE_CAUSE_NO_SIGN, SILENCE_CAUSE_OFF
from services.fusion.fold import ClientBatch
from services.fusion.inputs import Prediction, Said, Shown, Window
from services.fusion.records import SessionEnd
from services.fusion.silence import Silence, SilenceReason
from services.fusion.vocabulary import CrisisSignal, Emotion, Level, Modality


def client_batch(committed: PredictionsCommitted) -> ClientBatch:
    """ValueError for what ingest would never accept."""
    return ClientBatch(
        user_id=UUID(committed.user_id),
        anonymous_id=committed.anonymous_id,
        session_id=UUID(committed.session_id),
        receive_time=to_datetime(committed.receive_time),
        batch_number=committed.batch.batch_number,
        predictions=_predictions(committed.batch.predictions),
    )


def session_end(ended: SessionEnded) -> SessionEnd:
    return SessionEnd(
        user_id=UUID(ended.user_id),
        anonymous_id=ended.anonymous_id,
        session_id=UUID(ended.session_id),
        end_time=to_datetime(ended.end_time),
        receive_time=to_datetime(ended.receive_time),
    )


_REASONS = {
    SILENCE_CAUSE_NO_SIGN: SilenceReason.SILENT,
    SILENCE_CAUSE_OFF: SilenceReason.OFF,
    SILENCE_CAUSE_FAILED: SilenceReason.FAILED,
}


def silence(silent: ModalitySilent) -> Silence:
    """KeyError for a cause that isn't known here."""
    return Silence(Modality(silent.modality), to_datetime(silent.since_time), _REASONS[silent.cause])


def _predictions(messages: Iterable[PredictionMessage]) -> Sequence[Prediction]:
    """The modalities of a chunk share its window, so it is read once."""
    windows: dict[str, Window] = {}
    predictions = []
    for message in messages:
        window = windows.get(message.chunk_id) or _window(message)
        windows[message.chunk_id] = window
        modality, content = _content(message)
        predictions.append(
            Prediction(window.chunk_id, window.capture_start_time, window.capture_end_time, modality, content)
        )
    return predictions


def _window(message: PredictionMessage) -> Window:
    return Window(
        chunk_id=UUID(message.chunk_id),
        capture_start_time=to_datetime(message.capture_start_time),
        capture_end_time=to_datetime(message.capture_end_time),
    )


def _content(message: PredictionMessage) -> tuple[Modality, Shown | Said]:
    match message.WhichOneof("modality"):
        case "vision":
            return Modality.VISION, _shown(message.vision, message.vision.distress_score)
        case "audio":
            return Modality.AUDIO, _shown(message.audio, message.audio.stress_score)
        case "text":
            return Modality.TEXT, _said(message.text)
        case unset:
            raise ValueError(f"a prediction of modality {unset}")


def _shown(message: VisionPrediction | AudioPrediction, probability: float) -> Shown:
    return Shown(
        emotion=Emotion(message.emotion),
        probability=_share(probability),
        confidence=_share(message.confidence),
        distribution=_distribution(message) if message.HasField("distribution") else None,
        model_version=message.model_version,
    )


_PLACES = {int(emotion): place for place, emotion in enumerate(Emotion)}


def _distribution(message: VisionPrediction | AudioPrediction) -> tuple[float, ...]:
    """By the numbers of all ten emotions; those that the model doesn't know hold 0. KeyError for an unknown label."""
    shares = [0.0] * len(Emotion)
    for label, share in zip(message.distribution.labels, message.distribution.probabilities, strict=True):
        shares[_PLACES[label]] = _share(share)
    return tuple(shares)


def _said(message: TextPrediction) -> Said:
    """Topics, language and the sealed transcript stay with ingest: fusion doesn't need them."""
    return Said(
        level=Level(message.risk_level),
        probability=_share(message.distress_probability),
        confidence=_share(message.confidence),
        valence=_valence(message.valence) if message.HasField("valence") else None,
        deflection=bool(message.cues.deflections),
        signals=frozenset(map(CrisisSignal, message.cues.crisis_signals)),
        model_version=message.model_version,
    )


def _share(value: float) -> float:
    """ValueError outside of [0, 1]: a NaN would stay in the session's state for ever."""
    if not 0.0 <= value <= 1.0:
        raise ValueError("not in [0, 1]")
    return value


def _valence(value: float) -> float:
    """ValueError outside of [-1, 1]."""
    if not -1.0 <= value <= 1.0:
        raise ValueError("not in [-1, 1]")
    return value
