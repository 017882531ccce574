"""Clips as ingest tells of them, and what fusion's follower makes of that: events on the wire, its reading of them,
its fold. Only the tables are left out.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import numpy as np

from bench.science.crema_d import Clips
from libs.common.timestamps import to_timestamp
from quietus.common.v1.types_pb2 import RISK_LEVEL_LOW, Emotion, EmotionDistribution
from quietus.ingest.v1.events_pb2 import Event, PredictionsCommitted
from quietus.ingest.v1.predictions_pb2 import (
    AudioPrediction,
    Prediction,
    PredictionBatch,
    TextCues,
    TextPrediction,
    VisionPrediction,
)
from services.fusion.fold import ChunkResult, Models, SessionFold, Standing
from services.fusion.reading import client_batch
from services.fusion.science.inputs import Floats
from services.fusion.science.model import FusionModel
from services.fusion.service.folding import fuse_batches
from services.fusion.vocabulary import KNOWN_EMOTIONS, Modality

BOTH = (Modality.VISION, Modality.AUDIO)
MODEL_VERSION = "crema-d-raters"
# Votes say nothing of distress; only emotions are judged.
NO_OPINION = 0.5
_USER_ID = UUID(int=0)
_START = datetime(2014, 10, 1, tzinfo=UTC)
_LENGTH = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class Statement:
    """What somebody says in a clip, as the edge measures it."""

    valence: float  # [-1, 1]
    deflections: tuple[str, ...] = ()


def events(
    clips: Clips, modalities: Sequence[Modality] = BOTH, statements: Sequence[Statement] | None = None
) -> list[bytes]:
    """One event a clip: a session of one client batch of one chunk. A modality that nobody voted on lacks; a clip that
    has none at all makes an event without predictions.
    """
    has_face = clips.has_face & (Modality.VISION in modalities)
    has_voice = clips.has_voice & (Modality.AUDIO in modalities)
    return [
        _event(
            number,
            clips.face[number] if has_face[number] else None,
            clips.voice[number] if has_voice[number] else None,
            statements[number] if statements is not None else None,
        )
        for number in range(len(clips))
    ]


def _event(number: int, face: Floats | None, voice: Floats | None, statement: Statement | None) -> bytes:
    contents = [
        None if face is None else _vision(face),
        None if voice is None else _audio(voice),
        None if statement is None else _text(statement),
    ]
    committed = PredictionsCommitted(
        user_id=str(_USER_ID),
        anonymous_id="anon_crema_d",
        session_id=str(UUID(int=number)),
        receive_time=to_timestamp(_START + (number + 1) * _LENGTH),
        batch=PredictionBatch(
            batch_number=1, predictions=[_prediction(number, content) for content in contents if content is not None]
        ),
    )
    return Event(predictions_committed=committed).SerializeToString()


def _prediction(number: int, content: VisionPrediction | AudioPrediction | TextPrediction) -> Prediction:
    start = _START + number * _LENGTH
    return Prediction(
        chunk_id=str(UUID(int=number)),
        capture_start_time=to_timestamp(start),
        capture_end_time=to_timestamp(start + _LENGTH),
        vision=content if isinstance(content, VisionPrediction) else None,
        audio=content if isinstance(content, AudioPrediction) else None,
        text=content if isinstance(content, TextPrediction) else None,
    )


def _vision(shares: Floats) -> VisionPrediction:
    return VisionPrediction(
        emotion=_leading(shares),
        confidence=round(float(shares.max()), 4),
        distress_score=NO_OPINION,
        distribution=_distribution(shares),
        model_version=MODEL_VERSION,
    )


def _audio(shares: Floats) -> AudioPrediction:
    return AudioPrediction(
        emotion=_leading(shares),
        confidence=round(float(shares.max()), 4),
        stress_score=NO_OPINION,
        distribution=_distribution(shares),
        model_version=MODEL_VERSION,
    )


def _text(statement: Statement) -> TextPrediction:
    return TextPrediction(
        risk_level=RISK_LEVEL_LOW,
        distress_probability=NO_OPINION,
        confidence=1.0,
        valence=statement.valence,
        cues=TextCues(deflections=statement.deflections),
        model_version=MODEL_VERSION,
    )


def _leading(shares: Floats) -> "Emotion.ValueType":
    return Emotion.ValueType(KNOWN_EMOTIONS[int(shares.argmax())])


def _distribution(shares: Floats) -> EmotionDistribution:
    """Shares of votes are sent as probabilities: float32 on the wire, like every device's."""
    labels = [Emotion.ValueType(emotion) for emotion in KNOWN_EMOTIONS]
    return EmotionDistribution(labels=labels, probabilities=shares.tolist())


def followed(model: FusionModel, told: Iterable[bytes]) -> list[ChunkResult | None]:
    """One result an event, as the follower would write it; None for one without predictions."""
    models = Models({model.version: model}, model)
    committed = [Event.FromString(event).predictions_committed for event in told]
    batches = [client_batch(one) for one in committed if one.batch.predictions]
    folds = {batch.session_id: SessionFold(models, Standing(), (), {}) for batch in batches}
    changed = iter(fuse_batches(models, folds, batches).changed)
    return [next(changed)[0] if one.batch.predictions else None for one in committed]


def fused_emotions(model: FusionModel, clips: Clips, modalities: Sequence[Modality] = BOTH) -> Floats:
    """Probabilities (n, 6); NaN where a clip has none of the modalities."""
    probabilities = np.full((len(clips), len(KNOWN_EMOTIONS)), np.nan)
    for row, result in enumerate(followed(model, events(clips, modalities))):
        if result is not None and result.fused.emotions is not None:
            probabilities[row] = result.fused.emotions
    return probabilities
