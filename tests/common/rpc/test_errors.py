"""What an error says to whom."""

import pytest
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo

from libs.common.rpc.errors import AppError, ErrorKind, to_status


def _details(error: AppError) -> dict[str, Message]:
    found: dict[str, Message] = {}
    for packed in to_status(error).details:
        for kind in (ErrorInfo, BadRequest, RetryInfo):
            detail = kind()
            if packed.Unpack(detail):
                found[kind.__name__] = detail
    return found


@pytest.mark.parametrize("kind", ErrorKind)
def test_every_kind_has_its_status_and_reason(kind: ErrorKind) -> None:
    error = AppError(kind, "SOME_REASON", metadata={"key": "value"})
    assert to_status(error).code == kind.value.value[0]
    assert _details(error) == {
        "ErrorInfo": ErrorInfo(reason="SOME_REASON", domain="quietus.dev", metadata={"key": "value"})
    }


def test_field_and_delay_have_details_of_their_own() -> None:
    error = AppError(
        ErrorKind.INVALID_ARGUMENT, "CONSENT_REQUIRED", "consent is required", field="consent", retry_after_seconds=1.5
    )
    details = _details(error)
    violation = BadRequest.FieldViolation(field="consent", reason="CONSENT_REQUIRED", description="consent is required")
    assert details["BadRequest"] == BadRequest(field_violations=[violation])
    retry = details["RetryInfo"]
    assert isinstance(retry, RetryInfo)
    assert (retry.retry_delay.seconds, retry.retry_delay.nanos) == (1, 500_000_000)
