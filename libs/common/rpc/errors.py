"""Typed errors and the one table from them to a gRPC status. Reasons are contract, message texts are not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

import grpc
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo  # type: ignore[import-untyped]
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]

from quietus_edge.errors import reason_of as reason_of  # noqa: PLC0414 - the client's side of the same table

DOMAIN = "quietus.dev"

# Details travel in trailing metadata, which gRPC bounds at 8 KiB.
MAX_VIOLATIONS = 20
_MAX_FIELD_CHARACTERS = 100


class ErrorKind(Enum):
    """What went wrong, each with its gRPC status."""

    INVALID_ARGUMENT = grpc.StatusCode.INVALID_ARGUMENT
    NOT_FOUND = grpc.StatusCode.NOT_FOUND
    ALREADY_EXISTS = grpc.StatusCode.ALREADY_EXISTS
    FAILED_PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION
    ABORTED = grpc.StatusCode.ABORTED
    PERMISSION_DENIED = grpc.StatusCode.PERMISSION_DENIED
    UNAUTHENTICATED = grpc.StatusCode.UNAUTHENTICATED
    RESOURCE_EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED
    UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
    DEADLINE_EXCEEDED = grpc.StatusCode.DEADLINE_EXCEEDED
    INTERNAL = grpc.StatusCode.INTERNAL
    UNIMPLEMENTED = grpc.StatusCode.UNIMPLEMENTED
    OUT_OF_RANGE = grpc.StatusCode.OUT_OF_RANGE


@dataclass(frozen=True, slots=True)
class Violation:
    """A field that can't be taken, such as batch.predictions[3].vision.confidence."""

    field: str
    reason: str
    description: str


class AppError(Exception):
    """An error that the caller may see: no text or metadata of it holds anything about a person."""

    def __init__(
        self,
        kind: ErrorKind,
        reason: str,
        message: str = "",
        *,
        field: str | None = None,
        metadata: Mapping[str, str] | None = None,
        retry_after_seconds: float | None = None,
        violations: Sequence[Violation] = (),
    ) -> None:
        super().__init__(f"{kind.name} {reason}" + (f": {message}" if message else ""))
        self.kind = kind
        self.reason = reason
        self.message = message or reason
        self.violations = (Violation(field, reason, self.message),) if field else tuple(violations)
        self.metadata = dict(metadata or {})
        self.retry_after_seconds = retry_after_seconds


def to_status(error: AppError) -> Status:
    """The google.rpc.Status that a client gets: ErrorInfo always, BadRequest and RetryInfo where they apply."""
    details: list[Message] = [ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.metadata)]
    if error.violations:
        details.append(BadRequest(field_violations=[_field_violation(v) for v in error.violations[:MAX_VIOLATIONS]]))
    if error.retry_after_seconds is not None:
        milliseconds = round(error.retry_after_seconds * 1000)
        delay = Duration(seconds=milliseconds // 1000, nanos=milliseconds % 1000 * 1_000_000)
        details.append(RetryInfo(retry_delay=delay))
    return Status(
        code=error.kind.value.value[0], message=error.message, details=[_packed(detail) for detail in details]
    )


def _field_violation(violation: Violation) -> BadRequest.FieldViolation:
    return BadRequest.FieldViolation(
        field=violation.field[:_MAX_FIELD_CHARACTERS], description=violation.description, reason=violation.reason
    )


def _packed(detail: Message) -> Any:
    packed = Any()
    packed.Pack(detail)
    return packed
