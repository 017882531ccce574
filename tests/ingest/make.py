"""Predictions as an edge app makes them."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from libs.common.timestamps import to_timestamp
from quietus.common.v1 import types_pb2
from quietus.ingest.v1 import predictions_pb2
from quietus_edge.ids import uuid7

CHUNK = timedelta(seconds=5)


def now() -> datetime:
    return datetime.now(UTC)


def from_now(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Times that are given by how far they are from now. Tests may run long after their cases were collected."""
    return {
        name: to_timestamp(now() + value) if isinstance(value, timedelta) else value for name, value in fields.items()
    }


def datetime_of(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def prediction(chunk_id: UUID | str | None = None, start: datetime | None = None) -> predictions_pb2.Prediction:
    """A chunk without a modality."""
    start = start or now()
    return predictions_pb2.Prediction(
        chunk_id=str(chunk_id or uuid7()),
        capture_start_time=to_timestamp(start),
        capture_end_time=to_timestamp(start + CHUNK),
    )


def vision(
    chunk_id: UUID | str | None = None, start: datetime | None = None, confidence: float = 0.8
) -> predictions_pb2.Prediction:
    message = prediction(chunk_id, start)
    message.vision.CopyFrom(
        predictions_pb2.VisionPrediction(
            emotion=types_pb2.EMOTION_SAD,
            confidence=confidence,
            distress_score=0.25,
            frames_processed=75,
            distribution=types_pb2.EmotionDistribution(
                labels=[types_pb2.EMOTION_SAD, types_pb2.EMOTION_NEUTRAL], probabilities=[0.75, 0.25]
            ),
            model_version="face-1",
        )
    )
    return message


def audio(chunk_id: UUID | str | None = None, start: datetime | None = None) -> predictions_pb2.Prediction:
    message = prediction(chunk_id, start)
    message.audio.CopyFrom(
        predictions_pb2.AudioPrediction(
            emotion=types_pb2.EMOTION_NEUTRAL,
            stress_score=0.4321,
            confidence=1.0,
            features=predictions_pb2.VoiceFeatures(pitch_mean=181.5, pause_ratio=0.0),
            model_version="voice-1",
        )
    )
    return message


def text(chunk_id: UUID | str | None = None, start: datetime | None = None) -> predictions_pb2.Prediction:
    message = prediction(chunk_id, start)
    message.text.CopyFrom(
        predictions_pb2.TextPrediction(
            risk_level=types_pb2.RISK_LEVEL_MEDIUM,
            distress_probability=0.0,
            confidence=0.5,
            valence=-0.25,
            cues=predictions_pb2.TextCues(
                extractor_version="1",
                language="sw",
                deflections=["niko_sawa"],
                first_person=0.1,
                crisis_signals=[predictions_pb2.CRISIS_SIGNAL_HOPELESSNESS],
            ),
            sealed_transcript=b"\x00\x01k" + bytes(64),
            transcript_state=predictions_pb2.TRANSCRIPT_STATE_SEALED,
            model_version="text-1",
        )
    )
    return message


def chunk(start: datetime | None = None) -> list[predictions_pb2.Prediction]:
    """All three modalities of one window."""
    chunk_id, start = uuid7(), start or now()
    return [vision(chunk_id, start), audio(chunk_id, start), text(chunk_id, start)]


def batch(number: int, predictions: Sequence[predictions_pb2.Prediction]) -> predictions_pb2.PredictionBatch:
    return predictions_pb2.PredictionBatch(batch_number=number, predictions=predictions)
