"""From messages to content. Reading normalises the message in place, so that feed and tables say the same."""

from operator import attrgetter

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from quietus.common.v1 import types_pb2
from quietus.ingest.v1 import predictions_pb2
from services.ingest import checks
from services.ingest.checks import CaptureBounds, Reason, Refused
from services.ingest.content import (
    FEATURES,
    TEN_THOUSAND,
    Audio,
    Chunk,
    Content,
    Cues,
    Distribution,
    Features,
    Text,
    Vision,
)

_features_of = attrgetter(*FEATURES)


def read(message: predictions_pb2.Prediction, bounds: CaptureBounds) -> tuple[Chunk, Content]:
    """Refused when the prediction may not be kept."""
    chunk = checks.chunk(
        message.chunk_id,
        _microseconds(message.capture_start_time, "capture_start_time"),
        _microseconds(message.capture_end_time, "capture_end_time"),
        bounds,
    )
    modality = message.WhichOneof("modality")
    if modality == "vision":
        return chunk, _vision(message.vision)
    if modality == "audio":
        return chunk, _audio(message.audio)
    if modality == "text":
        return chunk, _text(message.text)
    raise Refused("modality", Reason.MISSING)


def _microseconds(time: Timestamp, field: str) -> int:
    seconds, nanoseconds = time.seconds, time.nanos
    if not seconds:
        raise Refused(field, Reason.MISSING)
    if not 0 <= nanoseconds < 1_000_000_000:
        raise Refused(field, Reason.BAD_CAPTURE_TIME)
    microseconds = nanoseconds // 1000
    if nanoseconds != microseconds * 1000:
        time.nanos = microseconds * 1000
    return seconds * checks.MICROSECONDS_PER_SECOND + microseconds


def _vision(message: predictions_pb2.VisionPrediction) -> Vision:
    confidence, distress_score = message.confidence, message.distress_score
    distribution = _distribution(message.distribution) if message.HasField("distribution") else None
    content = checks.vision(
        message.emotion, confidence, distress_score, message.frames_processed, distribution, message.model_version
    )
    if content.confidence / TEN_THOUSAND != confidence:
        message.confidence = content.confidence / TEN_THOUSAND
    if content.distress_score / TEN_THOUSAND != distress_score:
        message.distress_score = content.distress_score / TEN_THOUSAND
    return content


def _audio(message: predictions_pb2.AudioPrediction) -> Audio:
    stress_score, confidence = message.stress_score, message.confidence
    distribution = _distribution(message.distribution) if message.HasField("distribution") else None
    features = _features(message.features) if message.HasField("features") else None
    content = checks.audio(message.emotion, stress_score, confidence, distribution, features, message.model_version)
    if content.stress_score / TEN_THOUSAND != stress_score:
        message.stress_score = content.stress_score / TEN_THOUSAND
    if content.confidence / TEN_THOUSAND != confidence:
        message.confidence = content.confidence / TEN_THOUSAND
    return content


def _text(message: predictions_pb2.TextPrediction) -> Text:
    distress_probability, confidence, state = message.distress_probability, message.confidence, message.transcript_state
    content = checks.text(
        message.risk_level,
        distress_probability,
        confidence,
        message.valence if message.HasField("valence") else None,
        _cues(message.cues) if message.HasField("cues") else None,
        message.sealed_transcript,
        state,
        message.model_version,
    )
    if content.distress_probability / TEN_THOUSAND != distress_probability:
        message.distress_probability = content.distress_probability / TEN_THOUSAND
    if content.confidence / TEN_THOUSAND != confidence:
        message.confidence = content.confidence / TEN_THOUSAND
    if content.valence is not None and content.valence / TEN_THOUSAND != message.valence:
        message.valence = content.valence / TEN_THOUSAND
    if content.transcript_state != state:
        message.transcript_state = predictions_pb2.TranscriptState.ValueType(content.transcript_state)
    return content


def _distribution(message: types_pb2.EmotionDistribution) -> Distribution:
    return Distribution(tuple(message.labels), tuple(message.probabilities))


def _features(message: Message) -> Features | None:
    values: Features = _features_of(message)
    if all(values):
        return values
    # A zero is a measurement or an unset field.
    measured = tuple(
        value if value or message.HasField(name) else None for value, name in zip(values, FEATURES, strict=True)
    )
    return measured if any(value is not None for value in measured) else None


def _cues(message: predictions_pb2.TextCues) -> Cues:
    return Cues(
        message.extractor_version,
        message.language,
        message.code_switching,
        tuple(message.deflections),
        tuple(message.topics),
        tuple(message.coping),
        message.first_person if message.HasField("first_person") else None,
        message.negation if message.HasField("negation") else None,
        message.absolutes if message.HasField("absolutes") else None,
        tuple(message.crisis_signals),
    )
