"""From messages to content. Reading normalises the message in place, so that feed and tables say the same."""

from collections.abc import Callable
from operator import attrgetter
from typing import Any

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from quietus.common.v1 import types_pb2
from quietus.ingest.v1 import predictions_pb2
from services.ingest.content import modalities
from services.ingest.content.chunk import MICROSECONDS_PER_SECOND, chunk
from services.ingest.content.cues import Cues
from services.ingest.content.distribution import Distribution
from services.ingest.content.scalars import SCORES, VALENCES, Refused
from services.ingest.vocabulary import FEATURES, Modality, Reason

_features_of = attrgetter(*FEATURES)


def read_chunk(message: predictions_pb2.Prediction, earliest: int, latest: int) -> bytes:
    """The fields of the chunk. Raises Refused, as does the rest."""
    start = _microseconds(message.capture_start_time, "capture_start_time")
    end = _microseconds(message.capture_end_time, "capture_end_time")
    return chunk(message.chunk_id, start, end, earliest, latest)


def read_content(message: predictions_pb2.Prediction) -> tuple[Modality, bytes]:
    """The fields of the modality."""
    name = message.WhichOneof("modality")
    if name is None:
        raise Refused("modality", Reason.MISSING)
    modality, read = _READ[name]
    return modality, read(getattr(message, name))


def _microseconds(time: Timestamp, field: str) -> int:
    seconds, nanoseconds = time.seconds, time.nanos
    if not seconds:
        raise Refused(field, Reason.MISSING)
    if not 0 <= nanoseconds < 1_000_000_000:
        raise Refused(field, Reason.BAD_CAPTURE_TIME)
    microseconds = nanoseconds // 1000
    if nanoseconds != microseconds * 1000:
        time.nanos = microseconds * 1000
    return seconds * MICROSECONDS_PER_SECOND + microseconds


def _vision(message: predictions_pb2.VisionPrediction) -> bytes:
    confidence, distress_score = message.confidence, message.distress_score
    if confidence not in SCORES:
        confidence = message.confidence = SCORES.normalised(confidence, "vision.confidence")
    if distress_score not in SCORES:
        distress_score = message.distress_score = SCORES.normalised(distress_score, "vision.distress_score")
    return modalities.vision(
        message.emotion,
        confidence,
        distress_score,
        message.frames_processed,
        _distribution(message.distribution) if message.HasField("distribution") else None,
        message.model_version,
    )


def _audio(message: predictions_pb2.AudioPrediction) -> bytes:
    stress_score, confidence = message.stress_score, message.confidence
    if stress_score not in SCORES:
        stress_score = message.stress_score = SCORES.normalised(stress_score, "audio.stress_score")
    if confidence not in SCORES:
        confidence = message.confidence = SCORES.normalised(confidence, "audio.confidence")
    return modalities.audio(
        message.emotion,
        stress_score,
        confidence,
        _distribution(message.distribution) if message.HasField("distribution") else None,
        _features(message.features) if message.HasField("features") else None,
        message.model_version,
    )


def _text(message: predictions_pb2.TextPrediction) -> bytes:
    distress_probability, confidence = message.distress_probability, message.confidence
    if distress_probability not in SCORES:
        distress_probability = SCORES.normalised(distress_probability, "text.distress_probability")
        message.distress_probability = distress_probability
    if confidence not in SCORES:
        confidence = message.confidence = SCORES.normalised(confidence, "text.confidence")
    transcript, said = message.sealed_transcript, message.transcript_state
    state = modalities.known_state(said, transcript)
    if state != said:
        message.transcript_state = predictions_pb2.TranscriptState.ValueType(state)
    return modalities.text(
        message.risk_level,
        distress_probability,
        confidence,
        _valence(message) if message.HasField("valence") else None,
        _cues(message.cues) if message.HasField("cues") else None,
        transcript,
        state,
        message.model_version,
    )


_READ: dict[str, tuple[Modality, Callable[[Any], bytes]]] = {
    "vision": (Modality.VISION, _vision),
    "audio": (Modality.AUDIO, _audio),
    "text": (Modality.TEXT, _text),
}


def _valence(message: predictions_pb2.TextPrediction) -> float:
    valence = message.valence
    if valence not in VALENCES:
        valence = message.valence = VALENCES.normalised(valence, "text.valence")
    return valence


def _distribution(message: types_pb2.EmotionDistribution) -> Distribution:
    # A slice of a repeated field is copied at once, an iteration item by item.
    return tuple(message.labels[:]), message.probabilities[:]


def _features(message: Message) -> tuple[float | None, ...]:
    values: tuple[float | None, ...] = _features_of(message)
    if all(values):
        return values
    # A zero is a measurement or an unset field.
    return tuple(
        value if value or message.HasField(name) else None for value, name in zip(values, FEATURES, strict=True)
    )


def _cues(message: predictions_pb2.TextCues) -> Cues:
    return Cues(
        message.extractor_version,
        message.language,
        message.code_switching,
        message.deflections[:],
        message.topics[:],
        message.coping[:],
        message.first_person if message.HasField("first_person") else None,
        message.negation if message.HasField("negation") else None,
        message.absolutes if message.HasField("absolutes") else None,
        message.crisis_signals[:],
    )
