"""Translates what an app says to the contract's messages, as the suite will keep them."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from google.protobuf.descriptor import EnumDescriptor
from google.protobuf.timestamp_pb2 import Timestamp

from quietus.common.v1.types_pb2 import Emotion, EmotionDistribution, RiskLevel
from quietus.ingest.v1 import predictions_pb2 as contract
from quietus_edge import bounds
from quietus_edge.errors import InvalidInputError
from quietus_edge.normalise import four_decimals
from quietus_edge.predictions import Audio, Chunk, Text, TextCues, Vision

DISTRIBUTION_TOLERANCE = 0.001
DANGER_SCORE = 0.75

Seal = Callable[[str], bytes]


def predictions(
    chunk: Chunk, vision: Vision | None, audio: Audio | None, text: Text | None, seal: Seal | None
) -> list[contract.Prediction]:
    """One prediction for each modality that is there. `seal` is None while the person has no key.

    InvalidInputError names a field that no service would take.
    """
    found = []
    if vision:
        found.append(_prediction(chunk, vision=_vision(vision)))
    if audio:
        found.append(_prediction(chunk, audio=_audio(audio)))
    if text:
        found.append(_prediction(chunk, text=_text(text, seal)))
    if not found:
        raise InvalidInputError("a record needs vision, audio or text")
    for prediction in found:
        modality = str(prediction.WhichOneof("modality"))
        bounds.check(getattr(prediction, modality), modality)
    return found


def points_to_danger(records: Iterable[contract.Prediction]) -> bool:
    """Whether a full spool must keep them: a high level, a signal of danger, or a score of at least 0.75."""
    return any(
        one.text.risk_level >= RiskLevel.RISK_LEVEL_HIGH
        or one.text.cues.crisis_signals
        or max(one.vision.distress_score, one.audio.stress_score, one.text.distress_probability) >= DANGER_SCORE
        for one in records
    )


def timestamp(at: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(at.astimezone(UTC))
    return stamp


def _prediction(chunk: Chunk, **modality: object) -> contract.Prediction:
    return contract.Prediction(
        chunk_id=str(chunk.chunk_id),
        capture_start_time=timestamp(chunk.start),
        capture_end_time=timestamp(chunk.end),
        **modality,  # type: ignore[arg-type]  # exactly one of the oneof, by name
    )


def _vision(vision: Vision) -> contract.VisionPrediction:
    return contract.VisionPrediction(
        emotion=_named(Emotion.DESCRIPTOR, vision.emotion, "vision.emotion"),
        confidence=_score(vision.confidence, "vision.confidence"),
        distress_score=_score(vision.distress_score, "vision.distress_score"),
        frames_processed=vision.frames_processed,
        distribution=_distribution(vision.distribution, "vision.distribution"),
        model_version=vision.model_version,
    )


def _audio(audio: Audio) -> contract.AudioPrediction:
    return contract.AudioPrediction(
        emotion=_named(Emotion.DESCRIPTOR, audio.emotion, "audio.emotion"),
        stress_score=_score(audio.stress_score, "audio.stress_score"),
        confidence=_score(audio.confidence, "audio.confidence"),
        distribution=_distribution(audio.distribution, "audio.distribution"),
        features=contract.VoiceFeatures(**asdict(audio.features)) if audio.features else None,
        model_version=audio.model_version,
    )


def _text(text: Text, seal: Seal | None) -> contract.TextPrediction:
    state, sealed = contract.TRANSCRIPT_STATE_NOT_KEPT, b""
    if text.transcript:
        state = contract.TRANSCRIPT_STATE_NO_KEY
        if seal:
            state, sealed = contract.TRANSCRIPT_STATE_SEALED, seal(text.transcript)
    return contract.TextPrediction(
        risk_level=_named(RiskLevel.DESCRIPTOR, text.risk_level, "text.risk_level"),
        distress_probability=_score(text.distress_probability, "text.distress_probability"),
        confidence=_score(text.confidence, "text.confidence"),
        valence=None if text.valence is None else _score(text.valence, "text.valence"),
        cues=cues(text.cues) if text.cues else None,
        sealed_transcript=sealed,
        transcript_state=state,
        model_version=text.model_version,
    )


def cues(said: TextCues) -> contract.TextCues:
    signals = [
        _named(contract.CrisisSignal.DESCRIPTOR, name, "text.cues.crisis_signals") for name in said.crisis_signals
    ]
    return contract.TextCues(**{**asdict(said), "crisis_signals": signals})


def _distribution(shares: Mapping[str, float], where: str) -> EmotionDistribution | None:
    if not shares:
        return None
    if not abs(sum(shares.values()) - 1) <= DISTRIBUTION_TOLERANCE:
        raise InvalidInputError(f"{where} doesn't sum to 1")
    if not all(0 <= share <= 1 for share in shares.values()):
        raise InvalidInputError(f"{where} has a probability outside [0, 1]")
    labels = [_named(Emotion.DESCRIPTOR, name, where) for name in shares]
    return EmotionDistribution(labels=labels, probabilities=shares.values())


def _score(value: float, where: str) -> float:
    if not math.isfinite(value):
        raise InvalidInputError(f"{where} is not a number")
    return four_decimals(value)


def _named(enum: EnumDescriptor, name: str, where: str) -> Any:
    """The number of an emotion, level or signal; the stubs give each enum a type of its own."""
    unspecified, *values = enum.values
    prefix = unspecified.name.removesuffix("UNSPECIFIED")
    for value in values:
        if value.name == prefix + name.upper():
            return value.number
    known = ", ".join(value.name.removeprefix(prefix).lower() for value in values)
    raise InvalidInputError(f"{where} is none of {known}")
