"""From messages to content, many at once. Reading normalises the messages in place: feed and tables say the same."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import numpy as np
from google.protobuf.message import Message

from quietus.ingest.v1 import predictions_pb2
from quietus.ingest.v1.predictions_pb2 import Prediction
from services.ingest.content import modalities
from services.ingest.content.chunk import MICROSECONDS_PER_SECOND, Microseconds, chunks
from services.ingest.content.columns import Refusals, Rows
from services.ingest.content.cues import Cues
from services.ingest.content.distribution import Distribution
from services.ingest.content.features import Features
from services.ingest.content.scalars import SCORES, VALENCES, Scores
from services.ingest.vocabulary import EMOTIONS, FEATURES, Modality, Reason

# The year 9999 ends before; more would overflow microseconds.
_SECONDS_MAX = 253_402_300_800
_NANOSECONDS = 1_000_000_000

_seconds, _nanoseconds = attrgetter("seconds"), attrgetter("nanos")
_features_of = attrgetter(*FEATURES)


@dataclass(frozen=True, slots=True)
class Read:
    """What predictions say, row by row: modality, and the fields of chunk and content. A refused row's mean nothing.

    `unsealed` are the words of rows that came with them; unsealed.py takes them out of the messages.
    """

    modalities: list[Modality]
    chunks: list[bytes]
    contents: list[bytes]
    refused: Refusals
    unsealed: dict[int, str]


def read(predictions: Sequence[Prediction], earliest: Microseconds, latest: Microseconds) -> Read:
    """`earliest` and `latest` are when each prediction's window may start and end."""
    refused: Refusals = {}
    rows = Rows(range(len(predictions)), refused)
    start = _microseconds(rows, [message.capture_start_time for message in predictions], "capture_start_time")
    end = _microseconds(rows, [message.capture_end_time for message in predictions], "capture_end_time")
    packed = chunks(rows, [message.chunk_id for message in predictions], start, end, earliest, latest)
    kinds = [message.WhichOneof("modality") for message in predictions]
    contents = rows.fields_by(kinds, predictions, _contents)
    unsealed = {
        row: words
        for row, (kind, message) in enumerate(zip(kinds, predictions, strict=True))
        if kind == "text" and (words := message.text.plaintext_transcript)
    }
    return Read([_MODALITIES[kind] for kind in kinds], packed, contents, refused, unsealed)


def text_content(message: predictions_pb2.TextPrediction) -> bytes:
    """Of a prediction that was read before, and is as good."""
    refused: Refusals = {}
    (content,) = _text(Rows((0,), refused), [message])
    assert not refused
    return content


def _microseconds(rows: Rows, times: Sequence[Any], field: str) -> Microseconds:
    seconds = np.fromiter(map(_seconds, times), np.int64, len(times))
    nanoseconds = np.fromiter(map(_nanoseconds, times), np.int64, len(times))
    rows.refuse_where(seconds == 0, field, Reason.MISSING)
    bad = (seconds < 0) | (seconds > _SECONDS_MAX) | (nanoseconds < 0) | (nanoseconds >= _NANOSECONDS)
    rows.refuse_where(bad, field, Reason.BAD_CAPTURE_TIME)
    seconds[bad] = 0
    microseconds = nanoseconds // 1000
    for position in np.flatnonzero(~bad & (nanoseconds != microseconds * 1000)).tolist():
        times[position].nanos = int(microseconds[position]) * 1000
    return seconds * MICROSECONDS_PER_SECOND + microseconds


def _vision(rows: Rows, messages: Sequence[predictions_pb2.VisionPrediction]) -> list[bytes]:
    return modalities.vision(
        rows,
        [message.emotion for message in messages],
        _normalised(messages, "confidence", SCORES),
        _normalised(messages, "distress_score", SCORES),
        [message.frames_processed for message in messages],
        [read_distribution(message) for message in messages],
        [message.model_version for message in messages],
    )


def _audio(rows: Rows, messages: Sequence[predictions_pb2.AudioPrediction]) -> list[bytes]:
    return modalities.audio(
        rows,
        [message.emotion for message in messages],
        _normalised(messages, "stress_score", SCORES),
        _normalised(messages, "confidence", SCORES),
        [read_distribution(message) for message in messages],
        [_features(message.features) if message.HasField("features") else None for message in messages],
        [message.model_version for message in messages],
    )


def _text(rows: Rows, messages: Sequence[predictions_pb2.TextPrediction]) -> list[bytes]:
    return modalities.text(
        rows,
        [message.risk_level for message in messages],
        _normalised(messages, "distress_probability", SCORES),
        _normalised(messages, "confidence", SCORES),
        _valences(messages),
        [_cues(message.cues) if message.HasField("cues") else None for message in messages],
        [_transcript(message) for message in messages],
        [message.model_version for message in messages],
    )


_READ: dict[str, Callable[[Rows, Any], list[bytes]]] = {"vision": _vision, "audio": _audio, "text": _text}
_MODALITIES: dict[str | None, Modality] = {name: Modality[name.upper()] for name in _READ}
_MODALITIES[None] = Modality.VISION  # of no consequence: the row is refused


def _contents(kind: str | None, rows: Rows, messages: Sequence[Prediction]) -> list[bytes]:
    if kind is not None:
        return _READ[kind](rows, [getattr(message, kind) for message in messages])
    for position in range(len(rows)):
        rows.refuse(position, "modality", Reason.MISSING)
    return [b""] * len(rows)


def _normalised(messages: Sequence[Any], name: str, scores: Scores) -> list[float]:
    values = [getattr(message, name) for message in messages]
    if not all(map(scores.__contains__, values)):
        for position, (message, value) in enumerate(zip(messages, values, strict=True)):
            if value not in scores:
                values[position] = scores.normalised(value)
                setattr(message, name, values[position])
    return values


def _valences(messages: Sequence[predictions_pb2.TextPrediction]) -> list[float | None]:
    said = [message for message in messages if message.HasField("valence")]
    valences = iter(_normalised(said, "valence", VALENCES))
    return [next(valences) if message.HasField("valence") else None for message in messages]


def read_distribution(message: predictions_pb2.VisionPrediction | predictions_pb2.AudioPrediction) -> Distribution:
    labels, probabilities = message.distribution.labels, message.distribution.probabilities
    if not labels and not message.HasField("distribution"):
        return None
    if max(len(labels), len(probabilities)) > len(EMOTIONS):  # not worth a copy: it will be refused as this is
        return (), ()
    # A slice of a repeated field is copied at once, an iteration item by item.
    return tuple(labels[:]), probabilities[:]


def _features(message: Message) -> Features:
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


def _transcript(message: predictions_pb2.TextPrediction) -> tuple[bytes, int, str]:
    transcript, said = message.sealed_transcript, message.transcript_state
    words = message.plaintext_transcript
    if words:
        return transcript, said, words
    state = modalities.known_state(transcript, said)
    if state != said:
        message.transcript_state = predictions_pb2.TranscriptState.ValueType(state)
    return transcript, state, words
