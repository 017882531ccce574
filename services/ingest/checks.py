"""What may be kept: plain values in, normalised content out, or `Refused` with the field and the reason."""

import re
from enum import IntEnum
from typing import NamedTuple

from services.ingest.content import (
    CRISIS_SIGNALS,
    EMOTIONS,
    FEATURES,
    RISK_LEVELS,
    TEN_THOUSAND,
    Audio,
    Chunk,
    Cues,
    Distribution,
    Features,
    Text,
    TranscriptState,
    Vision,
)

MICROSECONDS_PER_SECOND = 1_000_000
HOUR = 3600 * MICROSECONDS_PER_SECOND
DAY = 24 * HOUR
CHUNK_MAX = HOUR
SESSION_MAX = DAY
# Device clocks get corrected in mid-session.
CLOCK_TOLERANCE = DAY

PREDICTIONS_MAX = 5_000
FRAMES_MAX = 1_000_000
MODEL_VERSION_MAX_BYTES = 64
EXTRACTOR_VERSION_MAX_BYTES = 32
LANGUAGE_MAX_BYTES = 20
IDENTIFIERS_MAX = 8
IDENTIFIER_MAX_BYTES = 50
SEALED_TRANSCRIPT_MAX_BYTES = 65_536
PROBABILITY_SUM_TOLERANCE = 0.001
FEATURE_MAXIMA = dict(zip(FEATURES, (2000.0, 2000.0, 2000.0, 1.0, 1.0, 20.0, 1.0, 100.0), strict=True))

_UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}").fullmatch
_IDENTIFIER = re.compile(r"[a-z0-9_]+").fullmatch


class Reason(IntEnum):
    """The numbers of the contract's RefusalReason."""

    MISSING = 1
    OUT_OF_RANGE = 2
    UNKNOWN_VALUE = 3
    TOO_LONG = 4
    BAD_DISTRIBUTION = 5
    BAD_CAPTURE_TIME = 6
    CONFLICT = 7
    CHUNK_INTERVAL_CONFLICT = 8


class Refused(Exception):  # noqa: N818 - a verdict on a value, caught by whoever asked
    def __init__(self, field: str, reason: Reason) -> None:
        super().__init__(field, reason)
        self.field = field
        self.reason = reason


class CaptureBounds(NamedTuple):
    """When a window of this session may start and end, microseconds."""

    earliest_start: int
    latest_end: int


def capture_bounds(session_start: int, receive_time: int) -> CaptureBounds:
    """From a day before the session's start to 24 hours after it, and at most a day ahead of the server."""
    latest_end = min(session_start + SESSION_MAX, receive_time + CLOCK_TOLERANCE)
    return CaptureBounds(session_start - CLOCK_TOLERANCE, latest_end)


def chunk(chunk_id: str, start: int, end: int, bounds: CaptureBounds) -> Chunk:
    if not _UUID7(chunk_id):
        raise Refused("chunk_id", Reason.UNKNOWN_VALUE if chunk_id else Reason.MISSING)
    if not bounds.earliest_start <= start:
        raise Refused("capture_start_time", Reason.BAD_CAPTURE_TIME)
    if not start <= end <= start + CHUNK_MAX or end > bounds.latest_end:
        raise Refused("capture_end_time", Reason.BAD_CAPTURE_TIME)
    return Chunk(bytes.fromhex(chunk_id.replace("-", "")), start, end)


def vision(
    emotion: int,
    confidence: float,
    distress_score: float,
    frames_processed: int,
    distribution: Distribution | None,
    model_version: str,
) -> Vision:
    if frames_processed > FRAMES_MAX:
        raise Refused("vision.frames_processed", Reason.OUT_OF_RANGE)
    return Vision(
        _member(emotion, EMOTIONS, "vision.emotion"),
        _score(confidence, "vision.confidence"),
        _score(distress_score, "vision.distress_score"),
        frames_processed,
        distribution and _distribution(distribution, "vision.distribution"),
        _model_version(model_version, "vision.model_version"),
    )


def audio(
    emotion: int,
    stress_score: float,
    confidence: float,
    distribution: Distribution | None,
    features: Features | None,
    model_version: str,
) -> Audio:
    return Audio(
        _member(emotion, EMOTIONS, "audio.emotion"),
        _score(stress_score, "audio.stress_score"),
        _score(confidence, "audio.confidence"),
        distribution and _distribution(distribution, "audio.distribution"),
        features and _features(features),
        _model_version(model_version, "audio.model_version"),
    )


def text(
    risk_level: int,
    distress_probability: float,
    confidence: float,
    valence: float | None,
    cues: Cues | None,
    sealed_transcript: bytes,
    transcript_state: int,
    model_version: str,
) -> Text:
    return Text(
        _member(risk_level, RISK_LEVELS, "text.risk_level"),
        _score(distress_probability, "text.distress_probability"),
        _score(confidence, "text.confidence"),
        None if valence is None else _score(valence, "text.valence", minimum=-1.0),
        cues and _cues(cues),
        sealed_transcript,
        _transcript_state(transcript_state, sealed_transcript),
        _model_version(model_version, "text.model_version"),
    )


def _score(value: float, field: str, minimum: float = 0.0) -> int:
    if not minimum <= value <= 1.0:  # NaN is never inside
        raise Refused(field, Reason.OUT_OF_RANGE)
    return round(value * TEN_THOUSAND)


def _member(number: int, names: tuple[str, ...], field: str) -> int:
    if not 0 < number < len(names):
        raise Refused(field, Reason.UNKNOWN_VALUE if number else Reason.MISSING)
    return number


def _model_version(value: str, field: str) -> str:
    if not value:
        raise Refused(field, Reason.MISSING)
    return _words(value, MODEL_VERSION_MAX_BYTES, field)


def _words(value: str, max_bytes: int, field: str) -> str:
    if len(value) > max_bytes or (not value.isascii() and len(value.encode()) > max_bytes):
        raise Refused(field, Reason.TOO_LONG)
    if "\0" in value:  # Postgres keeps no NUL in text
        raise Refused(field, Reason.UNKNOWN_VALUE)
    return value


def _distribution(value: Distribution, field: str) -> Distribution:
    labels, probabilities = value
    if not 0 < len(labels) == len(probabilities) == len(set(labels)):
        raise Refused(field, Reason.BAD_DISTRIBUTION)
    if not (min(labels) > 0 and max(labels) < len(EMOTIONS)):
        raise Refused(f"{field}.labels", Reason.UNKNOWN_VALUE)
    total = sum(probabilities)
    if total != total or min(probabilities) < 0.0 or max(probabilities) > 1.0:  # noqa: PLR0124 - true of NaN alone
        raise Refused(f"{field}.probabilities", Reason.OUT_OF_RANGE)
    if abs(total - 1.0) > PROBABILITY_SUM_TOLERANCE:
        raise Refused(field, Reason.BAD_DISTRIBUTION)
    return value


def _features(values: Features) -> Features:
    for value, (name, maximum) in zip(values, FEATURE_MAXIMA.items(), strict=True):
        if value is not None and not 0.0 <= value <= maximum:
            raise Refused(f"audio.features.{name}", Reason.OUT_OF_RANGE)
    return values


def _cues(cues: Cues) -> Cues:
    _words(cues.extractor_version, EXTRACTOR_VERSION_MAX_BYTES, "text.cues.extractor_version")
    _words(cues.language, LANGUAGE_MAX_BYTES, "text.cues.language")
    for field in ("deflections", "topics", "coping"):
        _identifiers(getattr(cues, field), f"text.cues.{field}")
    for field in ("first_person", "negation", "absolutes"):
        share = getattr(cues, field)
        if share is not None and not 0.0 <= share <= 1.0:
            raise Refused(f"text.cues.{field}", Reason.OUT_OF_RANGE)
    if len(set(cues.crisis_signals)) != len(cues.crisis_signals):
        raise Refused("text.cues.crisis_signals", Reason.UNKNOWN_VALUE)
    for signal in cues.crisis_signals:
        if not 0 < signal < len(CRISIS_SIGNALS):
            raise Refused("text.cues.crisis_signals", Reason.UNKNOWN_VALUE)
    return cues


def _identifiers(values: tuple[str, ...], field: str) -> None:
    if len(values) > IDENTIFIERS_MAX:
        raise Refused(field, Reason.TOO_LONG)
    for value in values:
        if len(value) > IDENTIFIER_MAX_BYTES:
            raise Refused(field, Reason.TOO_LONG)
        if not _IDENTIFIER(value):
            raise Refused(field, Reason.UNKNOWN_VALUE)


def _transcript_state(state: int, sealed_transcript: bytes) -> int:
    """The state, which is SEALED exactly when a sealed transcript is there; said nothing means NOT_KEPT."""
    if len(sealed_transcript) > SEALED_TRANSCRIPT_MAX_BYTES:
        raise Refused("text.sealed_transcript", Reason.TOO_LONG)
    if state == TranscriptState.SEALED and not sealed_transcript:
        raise Refused("text.sealed_transcript", Reason.MISSING)
    if (sealed_transcript and state != TranscriptState.SEALED) or not 0 <= state <= max(TranscriptState):
        raise Refused("text.transcript_state", Reason.UNKNOWN_VALUE)
    return state or TranscriptState.NOT_KEPT
