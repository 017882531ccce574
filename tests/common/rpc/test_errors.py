"""What an error says to whom."""

import asyncio
from typing import Any, cast

import grpc
import pytest
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from structlog.testing import capture_logs

from libs.common.rpc.call import Call
from libs.common.rpc.errors import AppError, ErrorKind, to_status
from libs.common.rpc.interceptors.errors import Errors


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


@pytest.mark.parametrize("raised", [grpc.aio.InternalError(), AppError(ErrorKind.NOT_FOUND, "NOTHING")])
async def test_a_client_that_is_gone_before_grpc_knows_is_no_failure(raised: Exception) -> None:
    class Context:
        def cancelled(self) -> bool:
            return False

        async def abort(self, *status: object) -> None:
            raise grpc.aio.InternalError

    async def proceed(call: Call) -> None:
        raise raised

    call = Call(cast(Any, None), cast(Any, Context()), b"")
    with capture_logs() as logs, pytest.raises(asyncio.CancelledError):
        await Errors().intercept(call, proceed)
    assert call.status is grpc.StatusCode.CANCELLED
    assert not logs
