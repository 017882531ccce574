"""What a log may say."""

import json
import logging
from collections.abc import Callable, Iterator
from io import StringIO
from typing import Any

import pytest
import structlog

from libs.common.observability.logging import configure_logging
from libs.common.observability.redaction import HIDDEN, redacted
from quietus.identity.v1.identity_pb2 import CreateUserRequest, LogInResponse, RegisterKeyRequest
from quietus.ingest.v1.predictions_pb2 import Prediction, PredictionBatch, TextPrediction

Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def lines() -> Iterator[Lines]:
    """Configures the logs as a service does; gives a function that returns the lines."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    stream = StringIO()
    configure_logging("ingest", "info", stream)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    structlog.reset_defaults()
    root.handlers[:], root.level = before


def test_line_is_one_json_object(lines: Lines) -> None:
    structlog.get_logger().info("group committed", predictions=32)
    structlog.get_logger().debug("not shown")
    (line,) = lines()
    assert line.pop("timestamp").endswith("Z")
    assert line == {"event": "group committed", "level": "info", "service": "ingest", "predictions": 32}


def test_libraries_log_the_same_way(lines: Lines) -> None:
    logging.getLogger("grpc").warning("channel %s lost", 7)
    (line,) = lines()
    assert (line["event"], line["level"], line["service"]) == ("channel 7 lost", "warning", "ingest")


@pytest.mark.parametrize("library", [False, True])
def test_exception_is_logged_without_its_text(lines: Lines, library: bool) -> None:
    try:
        try:
            raise KeyError("I feel hopeless")
        except KeyError as cause:
            raise ValueError("I feel hopeless") from cause
    except ValueError:
        if library:
            logging.getLogger("asyncio").exception("task failed")
        else:
            structlog.get_logger().exception("task failed")
    (line,) = lines()
    assert "hopeless" not in str(line)
    assert line["exception"] == "ValueError < KeyError"
    assert "test_exception_is_logged_without_its_text" in line["frames"][-1]


def test_personal_fields_of_a_message_are_hidden(lines: Lines) -> None:
    request = CreateUserRequest(email="a@b.example", password="correct horse", timezone="Africa/Nairobi")
    structlog.get_logger().info("creating", request=request)
    (line,) = lines()
    assert line["request"] == {"email": HIDDEN, "password": HIDDEN, "timezone": "Africa/Nairobi"}


def test_personal_fields_are_hidden_at_any_depth() -> None:
    response = LogInResponse()
    response.token.access_token = "secret"
    assert redacted(response) == {"token": {"access_token": HIDDEN}}
    text = TextPrediction(sealed_transcript=b"sealed", model_version="m")
    batch = PredictionBatch(predictions=[Prediction(text=text)] * 20)
    shown = redacted(batch)["predictions"]
    assert shown == [{"text": {"sealed_transcript": HIDDEN, "model_version": "m"}}] * 10


def test_bytes_are_counted() -> None:
    assert redacted(RegisterKeyRequest(public_key=bytes(32))) == {"public_key": "[32 bytes]"}
