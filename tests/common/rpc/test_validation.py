"""What the contracts forbid, on messages of the contracts themselves."""

import math
from typing import Any

import pytest
from google.protobuf.message import DecodeError, Message
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from libs.common.rpc.errors import MAX_VIOLATIONS, AppError, to_status
from libs.common.rpc.validation import Validator
from quietus.common.v1.feed_pb2 import FollowRequest
from quietus.common.v1.types_pb2 import EMOTION_SAD
from quietus.identity.v1.identity_pb2 import CreateUserRequest, GetUserRequest, ListUsersRequest, RegisterKeyRequest
from quietus.ingest.v1.ingest_pb2 import RecordPredictionsRequest
from quietus.ingest.v1.predictions_pb2 import Prediction, PredictionBatch, TextCues, VisionPrediction, VoiceFeatures

UUID = "0197b0a0-0000-7000-8000-000000000000"
VALIDATOR = Validator()


def _violations(message: Message) -> list[tuple[str, str]]:
    try:
        VALIDATOR.check(message)
    except AppError as error:
        return [(violation.field, violation.reason) for violation in error.violations]
    return []


def _user(**changes: Any) -> CreateUserRequest:
    fields = {"request_id": UUID, "email": "a@b.example", "password": "correct horse", "role": 1}
    return CreateUserRequest(**(fields | changes))


def _key(public_key: bytes) -> RegisterKeyRequest:
    return RegisterKeyRequest(public_key=public_key, wrapped_private_key=b"w" * 48, salt=b"s" * 16)


def _chunk(end: Timestamp) -> Prediction:
    return Prediction(chunk_id=UUID, capture_start_time=Timestamp(seconds=1), capture_end_time=end)


def _batch(vision: VisionPrediction) -> RecordPredictionsRequest:
    prediction = _chunk(Timestamp(seconds=2))
    prediction.vision.CopyFrom(vision)
    return RecordPredictionsRequest(session_id=UUID, batch=PredictionBatch(batch_number=1, predictions=[prediction]))


@pytest.mark.parametrize(
    "message",
    [
        _user(),
        _user(full_name="é" * 60),
        GetUserRequest(),
        ListUsersRequest(page_size=200),
        TextCues(topics=["family"] * 8),
        VoiceFeatures(),
        VoiceFeatures(pitch_mean=0),
        _batch(VisionPrediction(emotion=EMOTION_SAD, confidence=1, distress_score=0, model_version="m")),
    ],
)
def test_message_within_its_contract_passes(message: Message) -> None:
    assert _violations(message) == []


@pytest.mark.parametrize(
    ("message", "violation"),
    [
        (_user(request_id=""), ("request_id", "MISSING")),
        (_user(request_id="0197b0a0"), ("request_id", "MALFORMED")),
        (_user(request_id=UUID.replace("-", "")), ("request_id", "MALFORMED")),
        (_user(request_id=UUID + "\n"), ("request_id", "MALFORMED")),
        (_user(role=0), ("role", "MISSING")),
        (_user(role=77), ("role", "UNKNOWN_VALUE")),
        (_user(email="a@b" + "\n"), ("email", "MALFORMED")),
        (_user(full_name="é" * 61), ("full_name", "TOO_LONG")),
        (_user(password="short"), ("password", "TOO_SHORT")),
        (GetUserRequest(anonymous_id="a" * 65), ("anonymous_id", "TOO_LONG")),
        (ListUsersRequest(page_size=201), ("page_size", "OUT_OF_RANGE")),
        (ListUsersRequest(page_size=-1), ("page_size", "OUT_OF_RANGE")),
        (_key(b"k" * 33), ("public_key", "TOO_LONG")),
        (_key(b"k" * 31), ("public_key", "TOO_SHORT")),
        (TextCues(topics=["family"] * 9), ("topics", "TOO_MANY")),
        (TextCues(topics=["family", "I feel low"]), ("topics[1]", "MALFORMED")),
        (TextCues(crisis_signals=[1, 99]), ("crisis_signals[1]", "UNKNOWN_VALUE")),
        (VoiceFeatures(pitch_mean=math.nan), ("pitch_mean", "OUT_OF_RANGE")),
        (VoiceFeatures(pitch_mean=math.inf), ("pitch_mean", "OUT_OF_RANGE")),
        (VoiceFeatures(energy_mean=1.0001), ("energy_mean", "OUT_OF_RANGE")),
        (RecordPredictionsRequest(session_id=UUID), ("batch", "MISSING")),
        (_chunk(Timestamp(seconds=2**60)), ("capture_end_time", "OUT_OF_RANGE")),
        (_chunk(Timestamp(nanos=-1)), ("capture_end_time", "OUT_OF_RANGE")),
        (
            _batch(VisionPrediction(emotion=EMOTION_SAD, confidence=math.nan, model_version="m")),
            ("batch.predictions[0].vision.confidence", "OUT_OF_RANGE"),
        ),
    ],
)
def test_one_field_against_its_contract_is_named(message: Message, violation: tuple[str, str]) -> None:
    assert _violations(message) == [violation]


def test_every_violation_is_named() -> None:
    found = _violations(FollowRequest(follower="Fusion", partition=5000, after_position=-1))
    assert found == [
        ("feed_id", "MISSING"),
        ("follower", "MALFORMED"),
        ("partition", "OUT_OF_RANGE"),
        ("after_position", "OUT_OF_RANGE"),
    ]


def test_violations_fit_into_the_metadata_of_an_answer() -> None:
    batch = PredictionBatch(batch_number=1, predictions=[Prediction()] * 5000)
    with pytest.raises(AppError) as raised:
        VALIDATOR.check(batch)
    assert raised.value.reason == "INVALID_FIELD"
    assert len(raised.value.violations) == MAX_VIOLATIONS
    assert len(to_status(raised.value).SerializeToString()) < 4096


@given(st.floats())
def test_bounded_number_is_taken_exactly_within_its_bounds(number: float) -> None:
    message = VisionPrediction(emotion=EMOTION_SAD, confidence=number, model_version="m")
    assert (_violations(message) == []) is (0 <= number <= 1)


@given(st.binary(max_size=64))
def test_whatever_parses_is_taken_or_refused_and_nothing_else(raw: bytes) -> None:
    try:
        message = RecordPredictionsRequest.FromString(raw)
    except DecodeError:
        return
    _violations(message)
