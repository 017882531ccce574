"""What may be kept, and what it becomes."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quietus.common.v1 import types_pb2
from quietus.ingest.v1 import ingest_pb2, predictions_pb2
from quietus.ingest.v1.predictions_pb2 import Prediction
from quietus_edge.normalise import four_decimals
from services.ingest import vocabulary
from services.ingest.content.chunk import DAY, HOUR, chunks, earliest_start, latest_end
from services.ingest.content.columns import Refusals, Rows
from services.ingest.content.digest import content_digests
from services.ingest.content.scalars import SCORES, VALENCES
from services.ingest.reading import Read, read, read_distribution
from services.ingest.vocabulary import Modality, Reason
from tests.ingest import make

CHUNK_ID = "018f0000-0000-7000-8000-000000000001"
NOW = 1_800_000_000_000_000


def read_alone(message: Prediction) -> Read:
    earliest, latest = np.array([[0], [10 * NOW]])
    return read([message], earliest, latest)


def digest_of(message: Prediction) -> bytes:
    content = read_alone(message)
    assert not content.refused
    return content_digests(content.modalities, content.chunks, content.contents)[0]


def refusal(message: Prediction) -> tuple[str, Reason]:
    return read_alone(message).refused[0]


def changed(message: Prediction, change: Callable[[Prediction], object]) -> Prediction:
    change(message)
    return message


def test_vocabulary_is_the_contracts() -> None:
    assert [f"EMOTION_{name.upper()}" for name in vocabulary.EMOTIONS[1:]] == types_pb2.Emotion.keys()[1:]
    assert [f"RISK_LEVEL_{name.upper()}" for name in vocabulary.RISK_LEVELS[1:]] == types_pb2.RiskLevel.keys()[1:]
    signals = [f"CRISIS_SIGNAL_{name.upper()}" for name in vocabulary.CRISIS_SIGNALS[1:]]
    assert signals == predictions_pb2.CrisisSignal.keys()[1:]
    states = [f"TRANSCRIPT_STATE_{name.upper()}" for name in vocabulary.TRANSCRIPT_STATES[1:]]
    assert states == predictions_pb2.TranscriptState.keys()[1:]
    reasons = dict(ingest_pb2.RefusalReason.items())
    assert {f"REFUSAL_REASON_{reason.name}": reason.value for reason in Reason}.items() <= reasons.items()
    assert {f"MODALITY_{m.name}": m.value for m in Modality}.items() <= dict(types_pb2.Modality.items()).items()
    assert list(vocabulary.FEATURES) == [f.name for f in predictions_pb2.VoiceFeatures.DESCRIPTOR.fields]


@pytest.mark.parametrize(
    ("message", "field", "reason"),
    [
        (make.vision("nonsense"), "chunk_id", Reason.UNKNOWN_VALUE),
        (make.vision(CHUNK_ID.upper()), "chunk_id", Reason.UNKNOWN_VALUE),
        (make.vision("018f0000-0000-4000-8000-000000000001"), "chunk_id", Reason.UNKNOWN_VALUE),
        (make.prediction(), "modality", Reason.MISSING),
        (make.vision(confidence=1.0001), "vision.confidence", Reason.OUT_OF_RANGE),
        (make.vision(confidence=-0.0001), "vision.confidence", Reason.OUT_OF_RANGE),
        (make.vision(confidence=math.nan), "vision.confidence", Reason.OUT_OF_RANGE),
        (make.vision(confidence=math.inf), "vision.confidence", Reason.OUT_OF_RANGE),
        (changed(make.vision(), lambda m: m.ClearField("chunk_id")), "chunk_id", Reason.MISSING),
        (changed(make.vision(), lambda m: m.ClearField("capture_end_time")), "capture_end_time", Reason.MISSING),
        (changed(make.vision(), lambda m: m.vision.ClearField("emotion")), "vision.emotion", Reason.MISSING),
        (changed(make.vision(), lambda m: setattr(m.vision, "emotion", 99)), "vision.emotion", Reason.UNKNOWN_VALUE),
        (
            changed(make.vision(), lambda m: setattr(m.vision, "frames_processed", 1_000_001)),
            "vision.frames_processed",
            Reason.OUT_OF_RANGE,
        ),
        (
            changed(make.vision(), lambda m: setattr(m.vision, "model_version", "")),
            "vision.model_version",
            Reason.MISSING,
        ),
        (
            changed(make.vision(), lambda m: setattr(m.vision, "model_version", "ß" * 33)),
            "vision.model_version",
            Reason.TOO_LONG,
        ),
        (
            changed(make.vision(), lambda m: setattr(m.vision, "model_version", "a\0b")),
            "vision.model_version",
            Reason.UNKNOWN_VALUE,
        ),
        (
            changed(make.audio(), lambda m: setattr(m.audio.features, "speech_rate", 20.5)),
            "audio.features.speech_rate",
            Reason.OUT_OF_RANGE,
        ),
        (changed(make.text(), lambda m: setattr(m.text, "valence", -1.1)), "text.valence", Reason.OUT_OF_RANGE),
        (
            changed(make.text(), lambda m: setattr(m.text, "sealed_transcript", bytes(1_000_000))),
            "text.sealed_transcript",
            Reason.TOO_LONG,
        ),
        (
            changed(make.text(), lambda m: setattr(m.text, "sealed_transcript", b"words that somebody only said" * 3)),
            "text.sealed_transcript",
            Reason.UNKNOWN_VALUE,
        ),
        (
            changed(make.text(), lambda m: m.text.ClearField("sealed_transcript")),
            "text.sealed_transcript",
            Reason.MISSING,
        ),
        (
            changed(make.text(), lambda m: m.text.ClearField("transcript_state")),
            "text.transcript_state",
            Reason.UNKNOWN_VALUE,
        ),
        (
            changed(make.text(), lambda m: m.text.cues.topics.append("I said this")),
            "text.cues.topics",
            Reason.UNKNOWN_VALUE,
        ),
        (
            changed(make.text(), lambda m: m.text.cues.topics.extend(["work"] * 9)),
            "text.cues.topics",
            Reason.TOO_LONG,
        ),
        (
            changed(make.text(), lambda m: m.text.cues.crisis_signals.append(1)),
            "text.cues.crisis_signals",
            Reason.UNKNOWN_VALUE,
        ),
        (
            changed(make.text(), lambda m: setattr(m.text.cues, "negation", math.nan)),
            "text.cues.negation",
            Reason.OUT_OF_RANGE,
        ),
        (
            changed(make.text(), lambda m: setattr(m.text.cues, "language", "s\0w")),
            "text.cues.language",
            Reason.UNKNOWN_VALUE,
        ),
    ],
)
def test_refusals_name_field_and_reason(message: Prediction, field: str, reason: Reason) -> None:
    assert refusal(message) == (field, reason)


@pytest.mark.parametrize(
    ("labels", "probabilities", "field", "reason"),
    [
        ([], [], "vision.distribution", Reason.BAD_DISTRIBUTION),
        ([1, 2], [1.0], "vision.distribution", Reason.BAD_DISTRIBUTION),
        ([1, 1], [0.5, 0.5], "vision.distribution", Reason.BAD_DISTRIBUTION),
        ([1, 2], [0.5, 0.4], "vision.distribution", Reason.BAD_DISTRIBUTION),
        ([1, 11], [0.5, 0.5], "vision.distribution.labels", Reason.UNKNOWN_VALUE),
        ([1, 2], [1.5, -0.5], "vision.distribution.probabilities", Reason.OUT_OF_RANGE),
        ([1, 2], [0.5, math.nan], "vision.distribution.probabilities", Reason.OUT_OF_RANGE),
        ([1, 2], [math.inf, -math.inf], "vision.distribution.probabilities", Reason.OUT_OF_RANGE),
        ([*range(1, 11), 1], [0.0] * 10 + [1.0], "vision.distribution", Reason.BAD_DISTRIBUTION),
        ([1], [1.0] * 100_000, "vision.distribution", Reason.BAD_DISTRIBUTION),
        ([1] * 100_000, [1.0], "vision.distribution", Reason.BAD_DISTRIBUTION),
    ],
)
def test_distributions(labels: list[int], probabilities: list[float], field: str, reason: Reason) -> None:
    message = make.vision()
    message.vision.distribution.labels[:] = labels
    message.vision.distribution.probabilities[:] = probabilities
    assert refusal(message) == (field, reason)


@pytest.mark.parametrize(
    ("start", "end", "field"),
    [
        (NOW, NOW - 1, "capture_end_time"),
        (NOW, NOW + HOUR + 1, "capture_end_time"),
        (NOW - DAY - 1, NOW - DAY, "capture_start_time"),
        (NOW + DAY, NOW + DAY + 1, "capture_end_time"),
    ],
)
def test_capture_time_outside_of_the_session(start: int, end: int, field: str) -> None:
    refused: Refusals = {}
    bounds = earliest_start(NOW), latest_end(NOW, NOW + 30 * DAY)
    chunks(Rows([0], refused), [CHUNK_ID], *np.array([[start], [end], *([bound] for bound in bounds)]))
    assert refused == {0: (field, Reason.BAD_CAPTURE_TIME)}


@pytest.mark.parametrize("seconds", [-1, 2**62, 253_402_300_801])
def test_capture_time_that_no_calendar_has(seconds: int) -> None:
    message = make.vision()
    message.capture_end_time.seconds = seconds
    assert refusal(message) == ("capture_end_time", Reason.BAD_CAPTURE_TIME)


def test_capture_time_far_ahead_of_the_server() -> None:
    assert latest_end(NOW + 400 * DAY, NOW) == NOW + DAY


@given(st.floats(min_value=0, max_value=1))
def test_normalising_is_idempotent_and_the_edges(value: float) -> None:
    normalised = SCORES.normalised(value)
    assert normalised == four_decimals(value) == SCORES.normalised(normalised)
    assert normalised in SCORES


@given(st.floats(min_value=-1, max_value=1))
def test_valence_keeps_its_sign(value: float) -> None:
    normalised = VALENCES.normalised(value)
    packed = VALENCES[normalised]
    ten_thousandths = round(abs(normalised) * 10_000)
    sign = 0x4000 if round(normalised * 10_000) < 0 else 0
    assert int.from_bytes(packed[8:10], "big") == sign
    assert int.from_bytes(packed[12:14], "big") == (1 if ten_thousandths == 10_000 else ten_thousandths)


@given(st.floats(min_value=0, max_value=1), st.floats(min_value=0, max_value=1))
def test_reading_normalises_the_message_once_and_for_all(confidence: float, distress_score: float) -> None:
    message = make.vision(CHUNK_ID, confidence=confidence)
    message.vision.distress_score = distress_score
    digest = digest_of(message)
    normalised = message.SerializeToString()
    again = Prediction.FromString(normalised)
    assert digest_of(again) == digest
    assert again.SerializeToString() == normalised


def test_nanoseconds_are_cut_to_microseconds() -> None:
    message = make.vision(CHUNK_ID)
    message.capture_start_time.nanos = 123_456_789
    exact = Prediction()
    exact.CopyFrom(message)
    exact.capture_start_time.nanos = 123_456_000
    assert digest_of(message) == digest_of(exact)
    assert message.capture_start_time.nanos == 123_456_000


def test_no_transcript_means_not_kept() -> None:
    message = make.text(CHUNK_ID)
    message.text.ClearField("sealed_transcript")
    message.text.ClearField("transcript_state")
    digest_of(message)
    assert message.text.transcript_state == predictions_pb2.TRANSCRIPT_STATE_NOT_KEPT


def test_the_digest_never_changes() -> None:
    """Stored digests are compared with new ones for as long as predictions are kept."""
    start = make.datetime_of(1_800_000_000)
    digests = [digest_of(message(CHUNK_ID, start)).hex() for message in (make.vision, make.audio, make.text)]
    assert digests == GOLDEN


GOLDEN = [
    "a01832681405825b29b75d657862bfbed109d502bbe193b606970a0717f67e4e",
    "869ff8fdc222d9c4ffdb1caa64cca3c4b068a5c7aacf267194a1c935e408d98b",
    "08d934ee55df8204a4c7a4ce8a208833aa14e40b703e36dae9ec711fa7773d7a",
]


def test_the_digest_covers_every_field() -> None:
    start = make.now()
    changes: list[Callable[[Prediction], object]] = [
        lambda m: setattr(m, "chunk_id", CHUNK_ID[:-1] + "2"),
        lambda m: setattr(m.capture_end_time, "seconds", m.capture_end_time.seconds + 1),
        lambda m: setattr(m.text, "risk_level", 3),
        lambda m: setattr(m.text, "distress_probability", 0.0001),
        lambda m: setattr(m.text, "confidence", 0.5001),
        lambda m: setattr(m.text, "valence", 0.25),
        lambda m: m.text.ClearField("valence"),
        lambda m: setattr(m.text, "sealed_transcript", m.text.sealed_transcript + b"x"),
        lambda m: setattr(m.text, "model_version", "text-2"),
        lambda m: m.text.ClearField("cues"),
        lambda m: setattr(m.text.cues, "code_switching", True),
        lambda m: m.text.cues.coping.append("breathing"),
        lambda m: setattr(m.text.cues, "absolutes", 0.0),
        lambda m: m.text.cues.crisis_signals.append(2),
    ]
    digests = {digest_of(changed(make.text(CHUNK_ID, start), change)) for change in changes}
    assert len(digests | {digest_of(make.text(CHUNK_ID, start))}) == len(changes) + 1


ALL_FEATURES = predictions_pb2.VoiceFeatures(**dict.fromkeys(vocabulary.FEATURES, 0.5))

predictions = st.sampled_from(
    [
        make.vision(CHUNK_ID),
        make.vision(CHUNK_ID, confidence=0.123456),
        make.vision(CHUNK_ID, confidence=7.0),
        make.vision("nonsense"),
        changed(make.vision(CHUNK_ID), lambda m: m.vision.ClearField("distribution")),
        changed(make.vision(CHUNK_ID), lambda m: m.vision.distribution.probabilities.append(0.0)),
        changed(make.vision(CHUNK_ID), lambda m: m.vision.distribution.ClearField("probabilities")),
        make.audio(CHUNK_ID),
        changed(make.audio(CHUNK_ID), lambda m: m.audio.ClearField("features")),
        changed(make.audio(CHUNK_ID), lambda m: setattr(m.audio.features, "pitch_mean", -1.0)),
        changed(make.audio(CHUNK_ID), lambda m: m.audio.features.CopyFrom(ALL_FEATURES)),
        make.text(CHUNK_ID),
        changed(make.text(CHUNK_ID), lambda m: m.text.ClearField("cues")),
        changed(make.text(CHUNK_ID), lambda m: m.text.ClearField("valence")),
        changed(make.text(CHUNK_ID), lambda m: m.text.cues.topics.append("Not an identifier")),
        make.prediction(CHUNK_ID),
    ]
)


@given(st.lists(predictions, min_size=1, max_size=12))
def test_many_are_read_as_each_alone(messages: list[Prediction]) -> None:
    def copies() -> list[Prediction]:
        return [Prediction.FromString(message.SerializeToString()) for message in messages]

    together, alone = copies(), copies()
    many = read(together, np.zeros(len(messages), np.int64), np.full(len(messages), 10 * NOW))
    each = [read_alone(message) for message in alone]
    assert many.refused == {row: content.refused[0] for row, content in enumerate(each) if content.refused}
    for row, content in enumerate(each):
        if row not in many.refused:
            assert (many.modalities[row], many.chunks[row]) == (content.modalities[0], content.chunks[0])
            assert many.contents[row] == content.contents[0]
            assert together[row] == alone[row]


def test_distributions_of_all_lengths_are_few_kinds() -> None:
    """Each kind costs a look at every row: a message of distributions of 2,500 lengths must not stop the others."""
    messages = [make.vision(CHUNK_ID) for _ in range(300)]
    for size, message in enumerate(messages):
        message.vision.distribution.probabilities[:] = [0.0] * size
    kinds = {len(value[1]) for message in messages if (value := read_distribution(message.vision))}
    assert len(kinds) <= len(vocabulary.EMOTIONS) + 1
