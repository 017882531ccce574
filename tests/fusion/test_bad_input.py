"""Bad input where devices send it: what ingest refuses never reaches fusion, and what it takes gives finite numbers."""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from quietus.common.v1 import types_pb2
from quietus.ingest.v1.ingest_pb2 import BatchOutcome, RefusalReason
from quietus.ingest.v1.predictions_pb2 import Prediction
from quietus_edge.ids import uuid7
from tests.fusion.events import table
from tests.fusion.road import Road, assert_finite, parked
from tests.ingest import make

NAN, INFINITY = float("nan"), float("inf")
MANY = 10_000


def face(shares: Mapping[Any, float]) -> Prediction:
    message = make.vision()
    labels, probabilities = list(shares), list(shares.values())
    message.vision.distribution.CopyFrom(types_pb2.EmotionDistribution(labels=labels, probabilities=probabilities))
    return message


def uneven(labels: Sequence[Any], probabilities: Sequence[float]) -> Prediction:
    message = make.vision()
    message.vision.distribution.CopyFrom(types_pb2.EmotionDistribution(labels=labels, probabilities=probabilities))
    return message


def with_field(message: Prediction, path: str, value: Any) -> Prediction:
    modality, field = path.split(".")
    setattr(getattr(message, modality), field, value)
    return message


def with_signal(signal: int) -> Prediction:
    message = make.text()
    message.text.cues.crisis_signals.append(signal)  # type: ignore[arg-type]
    return message


def of_a_modality_never_seen() -> Prediction:
    """As a newer client sends it: its content is a field that this contract doesn't know."""
    message = make.prediction()
    message.MergeFromString(b"\xa2\x06\x02\x08\x01")  # field 100
    return message


SAD, NEUTRAL, HAPPY = types_pb2.EMOTION_SAD, types_pb2.EMOTION_NEUTRAL, types_pb2.EMOTION_HAPPY


def refused() -> list[tuple[Prediction, str, str]]:
    """What is sent, and the field and the reason that are named."""
    return [
        (face({SAD: 0.5, NEUTRAL: 0.2}), "vision.distribution", "BAD_DISTRIBUTION"),
        (face({SAD: 0.7, NEUTRAL: 0.7}), "vision.distribution", "BAD_DISTRIBUTION"),
        (face({SAD: 0.0, NEUTRAL: 0.0}), "vision.distribution", "BAD_DISTRIBUTION"),
        (face({SAD: NAN, NEUTRAL: 0.5}), "vision.distribution.probabilities", "OUT_OF_RANGE"),
        (face({SAD: INFINITY, NEUTRAL: -INFINITY}), "vision.distribution.probabilities", "OUT_OF_RANGE"),
        (face({SAD: 1.5, NEUTRAL: -0.5}), "vision.distribution.probabilities", "OUT_OF_RANGE"),
        (face({77: 0.5, NEUTRAL: 0.5}), "vision.distribution.labels", "UNKNOWN_VALUE"),
        (face({0: 0.5, NEUTRAL: 0.5}), "vision.distribution.labels", "UNKNOWN_VALUE"),
        (uneven([], []), "vision.distribution", "BAD_DISTRIBUTION"),
        (uneven([SAD, NEUTRAL], [1.0]), "vision.distribution", "BAD_DISTRIBUTION"),
        (uneven([SAD, SAD], [0.5, 0.5]), "vision.distribution", "BAD_DISTRIBUTION"),
        (with_field(make.vision(), "vision.emotion", 77), "vision.emotion", "UNKNOWN_VALUE"),
        (with_field(make.vision(), "vision.emotion", 0), "vision.emotion", "MISSING"),
        (with_field(make.vision(), "vision.distress_score", NAN), "vision.distress_score", "OUT_OF_RANGE"),
        (with_field(make.vision(), "vision.confidence", INFINITY), "vision.confidence", "OUT_OF_RANGE"),
        (with_field(make.audio(), "audio.stress_score", -0.1), "audio.stress_score", "OUT_OF_RANGE"),
        (with_field(make.text(), "text.distress_probability", 1.1), "text.distress_probability", "OUT_OF_RANGE"),
        (with_field(make.text(), "text.valence", NAN), "text.valence", "OUT_OF_RANGE"),
        (with_field(make.text(), "text.valence", -1.5), "text.valence", "OUT_OF_RANGE"),
        (with_field(make.text(), "text.risk_level", 9), "text.risk_level", "UNKNOWN_VALUE"),
        (with_signal(9), "text.cues.crisis_signals", "UNKNOWN_VALUE"),
        (of_a_modality_never_seen(), "modality", "MISSING"),
    ]


def refusals(outcome: BatchOutcome) -> list[tuple[int, str, str]]:
    return [
        (one.index, one.field, RefusalReason.Name(one.reason).removeprefix("REFUSAL_REASON_"))
        for one in outcome.refusals
    ]


async def test_what_ingest_refuses_is_named_and_never_reaches_fusion(road: Road) -> None:
    person = road.ingest.person()
    session_id = await person.start_session()
    cases, good = refused(), make.vision()
    outcome = await person.record(session_id, make.batch(1, [*(one for one, _, _ in cases), good]))
    assert refusals(outcome) == [(index, field, reason) for index, (_, field, reason) in enumerate(cases)]
    assert outcome.accepted == 1
    await road.followed()
    assert [str(row["chunk_id"]) for row in await table(road.fusion, "fusion_results")] == [good.chunk_id]
    assert await parked(road) == {}
    await assert_finite(road.fusion)


def contradicting() -> list[Prediction]:
    """The face is sure of distress, the voice and the words of none."""
    chunk_id, start = uuid7(), make.now()
    seen, heard, words = make.vision(chunk_id, start), make.audio(chunk_id, start), make.text(chunk_id, start)
    for part in (seen.vision, heard.audio, words.text):
        part.confidence = 1.0
    seen.vision.distress_score, heard.audio.stress_score, words.text.distress_probability = 1.0, 0.0, 0.0
    words.text.valence = 1.0
    return [seen, heard, words]


def of_no_length() -> Prediction:
    message = make.vision()
    message.capture_end_time.CopyFrom(message.capture_start_time)
    return message


def label_alone(emotion: int) -> Prediction:
    message = make.vision()
    message.vision.ClearField("distribution")
    message.vision.emotion = emotion  # type: ignore[assignment]
    return message


TAKEN: Mapping[str, Callable[[], list[Prediction]]] = {
    "one label only": lambda: [face({SAD: 1.0})],
    "no distribution": lambda: [label_alone(HAPPY)],
    "an emotion that speaks for none": lambda: [label_alone(types_pb2.EMOTION_SURPRISE)],
    "almost one": lambda: [face({SAD: 0.4999, NEUTRAL: 0.4999})],
    "no confidence": lambda: [make.vision(confidence=0.0)],
    "contradicting extremes": contradicting,
    "no length": lambda: [of_no_length()],
}


async def test_what_is_odd_and_allowed_gives_numbers_within_their_ranges(road: Road) -> None:
    person = road.ingest.person()
    session_id = await person.start_session()
    for number, taken in enumerate(TAKEN.values(), start=1):
        sent = taken()
        assert (await person.record(session_id, make.batch(number, sent))).accepted == len(sent)
    await road.followed()
    rows = await table(road.fusion, "fusion_results")
    assert (len(rows), await parked(road)) == (len(TAKEN), {})
    await assert_finite(road.fusion)
    for row in rows:
        assert 0.0 < row["exact_score"] < 1.0
        assert 0.0 < row["session_score"] < 1.0
        assert 0.0 <= row["exact_confidence"] <= 1.0
        if row["emotion_sad"] is not None:
            shares = [row[f"emotion_{emotion}"] for emotion in ("neutral", "happy", "sad", "angry", "fear", "disgust")]
            assert sum(shares) == pytest.approx(1.0, abs=1e-12)


async def test_one_chunk_id_ten_thousand_times(road: Road) -> None:
    """The first stands; the rest are copies of it or contradict it, and fusion hears of none of them."""
    person = road.ingest.person()
    session_id = await person.start_session()
    first = make.vision()
    other = make.vision(first.chunk_id)
    other.CopyFrom(first)
    other.vision.distress_score = 0.75
    accepted = duplicates = conflicts = 0
    for number in (1, 2):
        outcome = await person.record(session_id, make.batch(number, [first, other] * (MANY // 4)))
        accepted += outcome.accepted
        duplicates += outcome.duplicates
        conflicts += MANY // 2 - outcome.accepted - outcome.duplicates
    assert (accepted, duplicates, conflicts) == (1, MANY // 2 - 1, MANY // 2)
    await road.followed()
    (row,) = await table(road.fusion, "fusion_results")
    assert (row["revision"], row["vision_probability"]) == (1, 0.25)


async def test_a_chunk_that_arrives_a_day_late(road: Road) -> None:
    """After the session's end. It is fused in its place; the newest chunk stands as it stood, since evidence fades."""
    person, now = road.ingest.person(), make.now()
    session_id = await person.start_session(now - timedelta(hours=23))
    today = [make.vision(start=now - timedelta(seconds=seconds)) for seconds in (20, 10)]
    late = make.audio(start=now - timedelta(hours=24))
    assert (await person.record(session_id, make.batch(1, today))).accepted == 2
    await person.end_session(session_id)
    await road.followed()
    before = {row["chunk_id"]: row for row in await table(road.fusion, "fusion_results")}
    assert (await person.record(session_id, make.batch(2, [late]))).accepted == 1
    await road.followed()
    after = {row["chunk_id"]: row for row in await table(road.fusion, "fusion_results")}
    assert after.keys() - before.keys() == {UUID(late.chunk_id)}
    for chunk_id, row in before.items():
        assert after[chunk_id]["session_score"] == pytest.approx(row["session_score"], abs=1e-12)
        assert (after[chunk_id]["revision"], after[chunk_id]["final_risk"]) == (1, row["final_risk"])
    (state,) = await table(road.fusion, "session_states")
    assert state["chunks"] == 3
    assert await parked(road) == {}
    await assert_finite(road.fusion)
