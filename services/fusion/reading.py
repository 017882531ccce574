"""From ingest's events to the domain."""

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any
from uuid import UUID

from libs.common.ids import parsed_id
from libs.common.timestamps import to_datetime
from quietus.common.v1.types_pb2 import EmotionDistribution
from quietus.ingest.v1.events_pb2 import ModalitySilent, PredictionsCommitted, SessionEnded
from quietus.ingest.v1.predictions_pb2 import AudioPrediction, TextPrediction, VisionPrediction
from quietus.ingest.v1.predictions_pb2 import Prediction as PredictionMessage
from quietus.ingest.v1.sessions_pb2 import SILENCE_CAUSE_FAILED, SILENCE_CAUSE_NO_SIGN, SILENCE_CAUSE_OFF
from services.fusion.fold import ClientBatch
from services.fusion.records import SessionEnd
from services.fusion.science.inputs import ChunkInputs, Said, Shown
from services.fusion.silence import Silence, SilenceReason
from services.fusion.vocabulary import CrisisSignal, Emotion, Level, Modality


def client_batch(committed: PredictionsCommitted) -> ClientBatch:
    """ValueError or KeyError for what ingest would never accept."""
    return ClientBatch(
        user_id=known_id(committed.user_id),
        anonymous_id=committed.anonymous_id,
        session_id=known_id(committed.session_id),
        receive_time=to_datetime(committed.receive_time),
        batch_number=committed.batch.batch_number,
        chunks=_chunks(committed.batch.predictions),
    )


@lru_cache(maxsize=16_384)
def known_id(text: str) -> UUID:
    """Of a person or a session, who come again and again."""
    return parsed_id(text)


def session_end(ended: SessionEnded) -> SessionEnd:
    return SessionEnd(
        user_id=parsed_id(ended.user_id),
        anonymous_id=ended.anonymous_id,
        session_id=parsed_id(ended.session_id),
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


def _chunks(messages: Iterable[PredictionMessage]) -> Sequence[ChunkInputs]:
    """The modalities of a chunk share its window, so it is read once."""
    chunks: dict[str, dict[str, Any]] = {}
    for message in messages:
        chunk_id, modality = message.chunk_id, message.WhichOneof("modality")
        chunk = chunks.get(chunk_id)
        if chunk is None:
            chunk = chunks[chunk_id] = {
                "chunk_id": parsed_id(chunk_id),
                "capture_start_time": to_datetime(message.capture_start_time),
                "capture_end_time": to_datetime(message.capture_end_time),
            }
        if modality is None or modality in chunk:
            raise ValueError("a prediction without a modality, or the second of one")
        chunk[modality] = _READ[modality](getattr(message, modality))
    return [ChunkInputs(**chunk) for chunk in chunks.values()]


def _vision(message: VisionPrediction) -> Shown:
    return _shown(message, message.distress_score)


def _audio(message: AudioPrediction) -> Shown:
    return _shown(message, message.stress_score)


def _shown(message: VisionPrediction | AudioPrediction, probability: float) -> Shown:
    return Shown(
        _EMOTIONS[message.emotion],
        _share(probability),
        _share(message.confidence),
        _distribution(message.distribution) if message.HasField("distribution") else None,
        message.model_version,
    )


def _distribution(message: EmotionDistribution) -> tuple[float, ...]:
    """By the numbers of all ten emotions; those that the model doesn't know hold 0. KeyError for an unknown label."""
    shares = message.probabilities[:]
    by_emotion = _by_emotion(tuple(message.labels[:]), len(shares))
    # What is NaN hides from the least and the greatest, but not from the sum.
    if shares and not (min(shares) >= 0.0 and max(shares) <= 1.0 and sum(shares) <= len(shares)):
        raise ValueError("not in [0, 1]")
    shares.append(0.0)
    return by_emotion(shares)


@lru_cache(maxsize=1024)  # a model always sends the same ones
def _by_emotion(labels: tuple[int, ...], shares: int) -> Callable[[Sequence[float]], tuple[float, ...]]:
    """Picks ten from that many shares and a 0 behind them."""
    places = [shares] * len(_EMOTIONS)
    for label, place in zip(labels, range(shares), strict=True):
        places[_EMOTIONS[label] - 1] = place
    return itemgetter(*places)


def _text(message: TextPrediction) -> Said:
    """Topics, language and the sealed transcript stay with ingest: fusion doesn't need them."""
    cues = message.cues
    return Said(
        level=_LEVELS[message.risk_level],
        probability=_share(message.distress_probability),
        confidence=_share(message.confidence),
        valence=_valence(message.valence) if message.HasField("valence") else None,
        deflection=bool(cues.deflections),
        signals=frozenset(map(CrisisSignal, cues.crisis_signals)) if cues.crisis_signals else _NO_SIGNALS,
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


_READ: dict[str, Callable[[Any], Shown | Said]] = {"vision": _vision, "audio": _audio, "text": _text}
# Calling an enum costs as much as reading the rest of a prediction.
_EMOTIONS = {int(emotion): emotion for emotion in Emotion}
_LEVELS = {int(level): level for level in Level}
_NO_SIGNALS: frozenset[CrisisSignal] = frozenset()
