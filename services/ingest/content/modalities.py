"""The content of each modality. Scores have to be normalised: found in SCORES or VALENCES."""

from struct import Struct

from services.ingest.content.cues import Cues, cues_field
from services.ingest.content.distribution import NO_DISTRIBUTION, Distribution, distribution_fields
from services.ingest.content.scalars import NONE, SCORES, VALENCES, Refused, member, model_version, number, sized
from services.ingest.vocabulary import (
    EMOTIONS,
    FEATURE_MAXIMA,
    FEATURES,
    NOT_KEPT,
    RISK_LEVELS,
    SEALED,
    TRANSCRIPT_STATES,
    Reason,
)

FRAMES_MAX = 1_000_000
SEALED_TRANSCRIPT_MAX_BYTES = 65_536

_INT4 = Struct(">ii")
_NO_FEATURES = len(FEATURES) * NONE


def vision(
    emotion: int,
    confidence: float,
    distress_score: float,
    frames_processed: int,
    distribution: Distribution | None,
    version: str,
) -> bytes:
    if frames_processed > FRAMES_MAX:
        raise Refused("vision.frames_processed", Reason.OUT_OF_RANGE)
    return (
        member(emotion, EMOTIONS, "vision.emotion")
        + SCORES[confidence]
        + SCORES[distress_score]
        + _INT4.pack(4, frames_processed)
        + (distribution_fields(distribution, "vision.distribution") if distribution else NO_DISTRIBUTION)
        + model_version(version, "vision.model_version")
    )


def audio(
    emotion: int,
    stress_score: float,
    confidence: float,
    distribution: Distribution | None,
    features: tuple[float | None, ...] | None,
    version: str,
) -> bytes:
    """`features` in the order of FEATURES; None was not measured."""
    return (
        member(emotion, EMOTIONS, "audio.emotion")
        + SCORES[stress_score]
        + SCORES[confidence]
        + (distribution_fields(distribution, "audio.distribution") if distribution else NO_DISTRIBUTION)
        + (_features(features) if features else _NO_FEATURES)
        + model_version(version, "audio.model_version")
    )


def text(
    risk_level: int,
    distress_probability: float,
    confidence: float,
    valence: float | None,
    cues: Cues | None,
    sealed_transcript: bytes,
    transcript_state: int,
    version: str,
) -> bytes:
    """`transcript_state` as given by known_state."""
    return b"".join(
        (
            member(risk_level, RISK_LEVELS, "text.risk_level"),
            SCORES[distress_probability],
            SCORES[confidence],
            NONE if valence is None else VALENCES[valence],
            NONE if cues is None else cues_field(cues),
            sized(sealed_transcript),
            member(transcript_state, TRANSCRIPT_STATES, "text.transcript_state"),
            model_version(version, "text.model_version"),
        )
    )


def known_state(state: int, sealed_transcript: bytes) -> int:
    """SEALED exactly when a sealed transcript is there; said nothing means NOT_KEPT."""
    if len(sealed_transcript) > SEALED_TRANSCRIPT_MAX_BYTES:
        raise Refused("text.sealed_transcript", Reason.TOO_LONG)
    if state == SEALED and not sealed_transcript:
        raise Refused("text.sealed_transcript", Reason.MISSING)
    if sealed_transcript and state != SEALED:
        raise Refused("text.transcript_state", Reason.UNKNOWN_VALUE)
    return state or NOT_KEPT


def _features(values: tuple[float | None, ...]) -> bytes:
    return b"".join(
        [
            number(value, maximum, f"audio.features.{name}")
            for value, (name, maximum) in zip(values, FEATURE_MAXIMA.items(), strict=True)
        ]
    )
