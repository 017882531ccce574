"""What the devices of the pipeline's bench send: one chunk's three modalities as one client batch.

Serialised once; a chunk's id, its window and the batch's number replace others of the same length. Windows of five
seconds follow each other, so that a session looks to fusion and patterns as one that was lived.
"""

import random
from datetime import UTC, datetime
from uuid import UUID

from google.protobuf.timestamp_pb2 import Timestamp

from bench.load.messages import EMOTIONS, PLACEHOLDER, chunk
from quietus.common.v1.types_pb2 import EMOTION_NEUTRAL, RISK_LEVEL_CRITICAL, RISK_LEVEL_LOW, EmotionDistribution
from quietus.ingest.v1.ingest_pb2 import StreamPredictionsRequest
from quietus.ingest.v1.predictions_pb2 import CRISIS_SIGNAL_PLAN_OR_INTENT, Prediction, PredictionBatch
from quietus_edge.ids import uuid7, uuid7_time

PREDICTIONS = 3
WINDOW_SECONDS = 5
VARIANTS = 32
# Numbers from 2**28 to 2**35 and today's times in seconds take five bytes each.
FIRST_NUMBER = 2**28
SOME_TIME = datetime(2026, 1, 1, tzinfo=UTC)


def calm(random_numbers: random.Random) -> list[Prediction]:
    """Nobody is alarmed, and nobody's face belies their words: most of what a suite sees."""
    predictions = chunk(random_numbers, PLACEHOLDER, SOME_TIME)
    vision, audio, text = predictions
    for shown in (vision.vision, audio.audio):
        shown.emotion = EMOTION_NEUTRAL
        shown.distribution.CopyFrom(mostly_neutral(random_numbers))
    text.text.valence = random_numbers.randrange(3_000) / 10_000
    vision.vision.distress_score = random_numbers.randrange(1_500) / 10_000
    audio.audio.stress_score = random_numbers.randrange(1_500) / 10_000
    text.text.distress_probability = random_numbers.randrange(1_500) / 10_000
    text.text.risk_level = RISK_LEVEL_LOW
    return predictions


def mostly_neutral(random_numbers: random.Random) -> EmotionDistribution:
    others = [random_numbers.random() / 20 for _ in EMOTIONS[1:]]
    return EmotionDistribution(labels=EMOTIONS, probabilities=[1.0 - sum(others), *others])


def critical(random_numbers: random.Random) -> list[Prediction]:
    """The words speak of a plan."""
    predictions = calm(random_numbers)
    text = predictions[2].text
    text.risk_level = RISK_LEVEL_CRITICAL
    text.distress_probability = 0.95
    text.cues.crisis_signals.append(CRISIS_SIGNAL_PLAN_OR_INTENT)
    return predictions


class Batches:
    """The serialised requests of one session, from its start on."""

    def __init__(self, session_id: str, seed: int) -> None:
        random_numbers = random.Random(seed)
        self._calm = [_request(calm(random_numbers)) for _ in range(VARIANTS)]
        self._critical = _request(critical(random_numbers))
        self._start = int(uuid7_time(UUID(session_id)).timestamp())
        self._chunk_prefix = str(uuid7())[:24]
        self._next_number = FIRST_NUMBER

    def next(self, *, critical: bool = False) -> bytes:
        number = self._next_number
        self._next_number += 1
        ordinal = number - FIRST_NUMBER
        start = self._start + ordinal * WINDOW_SECONDS
        return (
            (self._critical if critical else self._calm[ordinal % VARIANTS])
            .replace(_NUMBER, _number(number), 1)
            .replace(_CHUNK, f"{self._chunk_prefix}{ordinal:012x}".encode())
            .replace(_START, _time(start))
            .replace(_END, _time(start + WINDOW_SECONDS))
        )


def _request(predictions: list[Prediction]) -> bytes:
    batch = PredictionBatch(batch_number=FIRST_NUMBER, predictions=predictions)
    return StreamPredictionsRequest(batch=batch).SerializeToString()


def _number(number: int) -> bytes:
    return PredictionBatch(batch_number=number).SerializeToString()


def _time(seconds: int) -> bytes:
    return Timestamp(seconds=seconds).SerializeToString()


_NUMBER = _number(FIRST_NUMBER)
_CHUNK = PLACEHOLDER.encode()
_START = _time(int(SOME_TIME.timestamp()))
_END = _time(int(SOME_TIME.timestamp()) + WINDOW_SECONDS)
