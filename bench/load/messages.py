"""What the load generator sends: serialised messages whose chunk ids and batch numbers are patched in place.

Every prediction is as full as an edge app makes it: distribution, prosody, cues and a sealed transcript of 180 bytes.
"""

import os
import random
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from libs.common.timestamps import to_timestamp
from libs.common.wire import varint
from quietus.common.v1.types_pb2 import (
    EMOTION_ANGRY,
    EMOTION_DISGUST,
    EMOTION_FEAR,
    EMOTION_HAPPY,
    EMOTION_NEUTRAL,
    EMOTION_SAD,
    RISK_LEVEL_MEDIUM,
    EmotionDistribution,
)
from quietus.ingest.v1.ingest_pb2 import StreamPredictionsRequest
from quietus.ingest.v1.predictions_pb2 import (
    TRANSCRIPT_STATE_SEALED,
    AudioPrediction,
    Prediction,
    PredictionBatch,
    TextCues,
    TextPrediction,
    VisionPrediction,
    VoiceFeatures,
)
from quietus_edge.ids import uuid7

VARIANTS = 32
EMOTIONS = (EMOTION_NEUTRAL, EMOTION_HAPPY, EMOTION_SAD, EMOTION_ANGRY, EMOTION_FEAR, EMOTION_DISGUST)
PLACEHOLDER = "00000000-0000-7000-8000-000000000000"

FIRST_NUMBER = 1
# The key id, before the HPKE message.
SEALED_HEAD = b"\x00\x05key-1"


def emotion_distribution(random_numbers: random.Random) -> EmotionDistribution:
    weights = [random_numbers.random() for _ in EMOTIONS]
    return EmotionDistribution(labels=EMOTIONS, probabilities=[weight / sum(weights) for weight in weights])


def chunk(random_numbers: random.Random, chunk_id: str, start: datetime) -> list[Prediction]:
    """The three modalities of one window of five seconds."""

    def score() -> float:
        return random_numbers.randrange(10_001) / 10_000

    def prediction() -> Prediction:
        end = start + timedelta(seconds=5)
        return Prediction(chunk_id=chunk_id, capture_start_time=to_timestamp(start), capture_end_time=to_timestamp(end))

    messages = [prediction() for _ in range(3)]
    messages[0].vision.CopyFrom(
        VisionPrediction(
            emotion=EMOTION_SAD,
            confidence=score(),
            distress_score=score(),
            frames_processed=75,
            distribution=emotion_distribution(random_numbers),
            model_version="face-1.4.2",
        )
    )
    features = VoiceFeatures(
        pitch_mean=180.5,
        pitch_std=22.25,
        pitch_range=96.5,
        energy_mean=0.12,
        energy_std=0.03,
        speech_rate=3.9,
        pause_ratio=0.21,
        prosody_variance=1.3,
    )
    messages[1].audio.CopyFrom(
        AudioPrediction(
            emotion=EMOTION_NEUTRAL,
            stress_score=score(),
            confidence=score(),
            distribution=emotion_distribution(random_numbers),
            features=features,
            model_version="voice-2.0.1",
        )
    )
    messages[2].text.CopyFrom(
        TextPrediction(
            risk_level=RISK_LEVEL_MEDIUM,
            distress_probability=score(),
            confidence=score(),
            valence=score(),
            cues=TextCues(extractor_version="1", language="en", topics=["work"], first_person=0.125, negation=0.0625),
            sealed_transcript=SEALED_HEAD + os.urandom(180 - len(SEALED_HEAD)),
            transcript_state=TRANSCRIPT_STATE_SEALED,
            model_version="text-0.9",
        )
    )
    return messages


class Messages:
    """The batches of one stream, without end: consecutive windows, each as vision, audio, text."""

    def __init__(self, batch_size: int, start: datetime | None = None, seed: int = 1) -> None:
        start = start or datetime.now(UTC)
        self._batch_size = batch_size
        self._chunk_prefix = str(uuid7(start))[:24]
        self._next_prediction = 0
        self._next_number = FIRST_NUMBER
        self._templates = _templates(seed, start)

    def next(self) -> tuple[int, bytes]:
        """A batch number, and a serialised StreamPredictionsRequest with that batch."""
        number = self._next_number
        self._next_number += 1
        parts = [b"\x08" + varint(number)]
        for position in range(self._next_prediction, self._next_prediction + self._batch_size):
            head, tail = self._templates[position % len(self._templates)]
            parts += (head, f"{self._chunk_prefix}{position // 3:012x}".encode(), tail)
        self._next_prediction += self._batch_size
        batch = b"".join(parts)
        return number, b"\x12" + varint(len(batch)) + batch


@lru_cache(maxsize=256)
def _templates(seed: int, start: datetime) -> list[tuple[bytes, bytes]]:
    """What comes before and after the chunk id of each prediction; streams may share them."""
    random_numbers = random.Random(seed)
    messages = [message for _ in range(VARIANTS) for message in chunk(random_numbers, PLACEHOLDER, start)]
    encoded = [PredictionBatch(predictions=[message]).SerializeToString() for message in messages]
    return [(head, tail) for head, tail in (data.split(PLACEHOLDER.encode()) for data in encoded)]


def parsed(message: bytes) -> PredictionBatch:
    return StreamPredictionsRequest.FromString(message).batch
