"""From ingest's events to the domain."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from functools import lru_cache, partial
from operator import itemgetter
from struct import Struct
from typing import Any
from uuid import UUID

from libs.common.ids import parsed_id
from libs.common.timestamps import to_datetime, to_shared_datetime
from libs.common.values import maker
from quietus.common.v1.types_pb2 import Emotion as EmotionNumber
from quietus.common.v1.types_pb2 import EmotionDistribution
from quietus.ingest.v1.events_pb2 import ModalitySilent, PredictionsCommitted, SessionEnded
from quietus.ingest.v1.predictions_pb2 import AudioPrediction, VisionPrediction
from quietus.ingest.v1.predictions_pb2 import Prediction as PredictionMessage
from quietus.ingest.v1.sessions_pb2 import SILENCE_CAUSE_FAILED, SILENCE_CAUSE_NO_SIGN, SILENCE_CAUSE_OFF
from services.fusion.fold import ClientBatch
from services.fusion.records import SessionEnd
from services.fusion.science.inputs import ChunkInputs, Said, Shown
from services.fusion.silence import Silence, SilenceReason
from services.fusion.vocabulary import CrisisSignal, Emotion, Level, Modality


def client_batch(committed: PredictionsCommitted) -> ClientBatch:
    """ValueError or KeyError for what ingest would never accept; InputArrays.check() finds the numbers among it."""
    batch = committed.batch
    return ClientBatch(
        known_id(committed.user_id),
        committed.anonymous_id,
        known_id(committed.session_id),
        to_datetime(committed.receive_time),
        batch.batch_number,
        _chunks(batch.predictions),
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
    chunks: dict[str, list[Any]] = {}
    for message in messages:
        chunk_id, modality = message.chunk_id, message.WhichOneof("modality")
        chunk = chunks.get(chunk_id)
        if chunk is None:
            chunk = chunks[chunk_id] = [
                parsed_id(chunk_id),
                to_shared_datetime(message.capture_start_time),
                to_shared_datetime(message.capture_end_time),
                None,
                None,
                None,
            ]
        place, read = _READ[modality]
        if chunk[place] is not None:
            raise ValueError("the second prediction of a modality")
        chunk[place] = read(message)
    return [ChunkInputs(*chunk) for chunk in chunks.values()]


def _vision(message: PredictionMessage) -> Shown:
    vision = message.vision
    return _shown(vision, vision.distress_score)


def _audio(message: PredictionMessage) -> Shown:
    audio = message.audio
    return _shown(audio, audio.stress_score)


def _shown(message: VisionPrediction | AudioPrediction, probability: float) -> Shown:
    distribution = _distribution(message.distribution)
    return _SHOWN((_EMOTIONS[message.emotion], probability, message.confidence, distribution, message.model_version))


def _distribution(message: EmotionDistribution) -> tuple[float, ...] | None:
    """By the numbers of all ten emotions; those that the model doesn't know hold 0. None where none or an empty one
    came. KeyError for an unknown label.

    As bytes the labels and the shares are at hand at once: a list of each, item by item, takes three times as long.
    """
    wire = message.SerializeToString()
    if not wire:
        return None
    unpack, by_emotion = _shares_behind(wire[: wire[1] + _HEAD_BYTES])
    return by_emotion((*unpack(wire), 0.0))


@lru_cache(maxsize=1024)  # a model always sends the same labels
def _shares_behind(head: bytes) -> tuple[Callable[[bytes], tuple[float, ...]], Callable[[Any], tuple[float, ...]]]:
    """What unpacks the shares that come after this head, and what picks ten of them and of a 0 behind them. The head is
    all that comes before: tag and length of the labels, a byte for each of them, tag and length of the shares.
    """
    labels, shares = [EmotionNumber.ValueType(label) for label in head[2:-2]], head[-1] // 4
    if EmotionDistribution(labels=labels, probabilities=[0.0] * shares).SerializeToString()[: len(head)] != head:
        raise ValueError("labels without shares, or of no emotion")
    if len(set(labels)) < len(labels):
        raise ValueError("a label twice")
    places = [shares] * len(_EMOTIONS)
    for label, place in zip(labels, range(shares), strict=True):
        places[_EMOTIONS[label] - 1] = place
    return partial(Struct(f"<{shares}f").unpack_from, offset=len(head)), itemgetter(*places)


def _text(message: PredictionMessage) -> Said:
    """Topics, language and the sealed transcript stay with ingest: fusion doesn't need them."""
    text = message.text
    cues, probability, confidence = text.cues, text.distress_probability, text.confidence
    valence = _valence(text.valence) if text.HasField("valence") else None
    return _SAID(
        (
            _LEVELS[text.risk_level],
            probability,
            confidence,
            valence,
            len(cues.deflections) > 0,
            _signals(tuple(cues.crisis_signals[:])),
            text.model_version,
        )
    )


def _valence(value: float) -> float:
    """ValueError outside of [-1, 1]."""
    if not -1.0 <= value <= 1.0:
        raise ValueError("not in [-1, 1]")
    return value


@lru_cache
def _signals(numbers: tuple[int, ...]) -> frozenset[CrisisSignal]:
    return frozenset(map(CrisisSignal, numbers))


_HEAD_BYTES = 4  # beside those of the labels
_SHOWN, _SAID = maker(Shown), maker(Said)
_PLACES = [field.name for field in fields(ChunkInputs)]
# Where a modality stands in ChunkInputs, and what reads it.
_READ: dict[str | None, tuple[int, Callable[[PredictionMessage], Shown | Said]]] = {
    "vision": (_PLACES.index("vision"), _vision),
    "audio": (_PLACES.index("audio"), _audio),
    "text": (_PLACES.index("text"), _text),
}
# Calling an enum costs as much as reading the rest of a prediction.
_EMOTIONS = {int(emotion): emotion for emotion in Emotion}
_LEVELS = {int(level): level for level in Level}
