"""From the model's predictions to messages, as a client sends them and as the server is to keep them."""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import cached_property
from itertools import product, starmap
from uuid import UUID, uuid4

from libs.common.timestamps import to_timestamp
from quietus.ingest.v1 import events_pb2, ingest_pb2
from quietus.ingest.v1.ingest_pb2 import BatchOutcome, RefusalReason
from quietus.ingest.v1.predictions_pb2 import Prediction, PredictionBatch
from quietus_edge.ids import uuid7
from tests.ingest import make
from tests.ingest.protocol_model import (
    AUDIO,
    CHUNKS,
    END,
    MODALITIES,
    NUMBERS,
    SAYINGS,
    TEXT,
    VISION,
    WINDOWS,
    Batch,
    Outcome,
    Said,
    Shape,
    Told,
)

_MAKERS = {VISION: make.vision, AUDIO: make.audio, TEXT: make.text}
_SCORES = {VISION: "distress_score", AUDIO: "stress_score", TEXT: "distress_probability"}
# A field that no contract knows.
_UNKNOWN = b"\xfa\x7f\x04what"
_NANOSECONDS = 700


class SessionMessages:
    """`session_id` and `start_time` are those of the session."""

    def __init__(self, session_id: UUID, start_time: datetime) -> None:
        self.session_id = session_id
        self.start_time = start_time

    @cached_property
    def chunk_ids(self) -> list[str]:
        return [str(uuid7(self.start_time)) for _ in range(CHUNKS)]

    def batch(self, batch: Batch) -> PredictionBatch:
        return make.batch(batch.number, [self.sent(shape) for shape in batch.shapes])

    def kept(self, shape: Shape) -> Prediction:
        start = self.start_time + timedelta(minutes=shape.chunk, seconds=10 * shape.window)
        message = _MAKERS[shape.modality](self.chunk_ids[shape.chunk], start)
        setattr(_content(message), _SCORES[shape.modality], shape.said.kept)
        return message

    def sent(self, shape: Shape) -> Prediction:
        message = self.kept(shape)
        setattr(_content(message), _SCORES[shape.modality], shape.said.sent)
        if shape.said.noise:
            message.capture_start_time.nanos += _NANOSECONDS
            message.MergeFromString(_UNKNOWN)
            _content(message).MergeFromString(_UNKNOWN)
        if shape.defect:
            _SPOIL[shape.defect](message)
        return message

    def told(self, event: events_pb2.Event) -> Told | None:
        """What an event says, in the model's words; None for the start of the session."""
        kind = event.WhichOneof("event")
        if kind == "session_started":
            return None
        if kind == "session_ended":
            return END
        assert kind == "predictions_committed", kind
        batch = event.predictions_committed.batch
        return batch.batch_number, tuple(map(self.shape, batch.predictions))

    def shape(self, message: Prediction) -> Shape:
        """KeyError: nothing that was sent is kept so."""
        return self._shapes[message.SerializeToString(deterministic=True)]

    @cached_property
    def _shapes(self) -> dict[bytes, Shape]:
        """Everything that may be kept."""
        said = {Said(said.kept) for said in SAYINGS}
        shapes = starmap(Shape, product(range(CHUNKS), MODALITIES, WINDOWS, said))
        return {self.kept(shape).SerializeToString(deterministic=True): shape for shape in shapes}


def outcome(message: BatchOutcome) -> Outcome:
    refusals = [
        (one.index, one.field, RefusalReason.Name(one.reason).removeprefix("REFUSAL_REASON_"))
        for one in message.refusals
    ]
    return Outcome(message.batch_number, message.accepted, message.duplicates, tuple(sorted(refusals)))


def _content(message: Prediction) -> object:
    return getattr(message, str(message.WhichOneof("modality")))


def _sure(confidence: float) -> Callable[[Prediction], None]:
    return lambda message: setattr(_content(message), "confidence", confidence)


def _model(version: str) -> Callable[[Prediction], None]:
    return lambda message: setattr(_content(message), "model_version", version)


def _end(after_start: timedelta) -> Callable[[Prediction], None]:
    def spoil(message: Prediction) -> None:
        message.capture_end_time.CopyFrom(to_timestamp(_start(message) + after_start))

    return spoil


def _start(message: Prediction) -> datetime:
    start: datetime = make.datetime_of(message.capture_start_time.seconds)
    return start


def _long_before(message: Prediction) -> None:
    message.capture_start_time.CopyFrom(to_timestamp(_start(message) - timedelta(days=2)))


_SPOIL: dict[str, Callable[[Prediction], None]] = {
    "no chunk": lambda message: message.ClearField("chunk_id"),
    "chunk of no time": lambda message: setattr(message, "chunk_id", str(uuid4())),
    "no start": lambda message: message.ClearField("capture_start_time"),
    "long before the session": _long_before,
    "end before start": _end(-timedelta(seconds=1)),
    "over an hour": _end(timedelta(hours=1, seconds=2)),
    "no modality": lambda message: message.ClearField(str(message.WhichOneof("modality"))),
    "not a number": _sure(float("nan")),
    "more than sure": _sure(1.0001),
    "no model": _model(""),
    "wordy model": _model("m" * 65),
}


BAD_MESSAGES = (
    "number again",
    "number zero",
    "number below zero",
    "empty batch",
    "too large",
    "number too large",
    "opened again",
    "no message",
    "nothing",
)
BAD_OPENINGS = ("batch first", "nothing first", "no id", "no sender", "unknown", "somebody else")


def bad_message(session_id: str, newest: int, bad: str) -> tuple[object, str]:
    """What no stream takes, and the reason that it ends with."""
    one = make.vision()
    batch = {
        "number again": make.batch(newest, [one]),
        "number zero": make.batch(0, [one]),
        "number below zero": make.batch(-1, [one]),
        "number too large": make.batch(NUMBERS, [one]),
        "empty batch": make.batch(newest + 1, []),
        "too large": make.batch(newest + 1, [one] * 5001) if bad == "too large" else None,
    }
    if bad == "opened again":
        opening = ingest_pb2.OpenStream(session_id=session_id)
        return ingest_pb2.StreamPredictionsRequest(open=opening), "STREAM_ALREADY_OPENED"
    if bad == "no message":
        return b"\x12\xff", "MALFORMED_MESSAGE"
    if bad == "nothing":
        return b"", "BATCH_EMPTY"
    reasons = {
        "empty batch": "BATCH_EMPTY",
        "too large": "BATCH_TOO_LARGE",
        "number too large": "BATCH_NUMBER_TOO_LARGE",
    }
    reason = reasons.get(bad, "BATCH_NUMBER_NOT_GROWING")
    return ingest_pb2.StreamPredictionsRequest(batch=batch[bad]), reason


def bad_opening(session_id: str, bad: str) -> object:
    if bad == "batch first":
        return ingest_pb2.StreamPredictionsRequest(batch=make.batch(1, [make.vision()]))
    if bad == "nothing first":
        return b""
    if bad == "no sender":
        opening = ingest_pb2.OpenStream(session_id=session_id, sender_id="no id")
        return ingest_pb2.StreamPredictionsRequest(open=opening)
    named = {"no id": "no id", "unknown": str(uuid7())}.get(bad, session_id)
    return ingest_pb2.StreamPredictionsRequest(open=ingest_pb2.OpenStream(session_id=named))
