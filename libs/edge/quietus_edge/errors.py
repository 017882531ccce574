"""What can go wrong at the edge, and how to read what a service says went wrong."""

from collections.abc import Mapping
from typing import Any, cast

import grpc
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo  # type: ignore[import-untyped, unused-ignore]
from grpc_status import rpc_status  # type: ignore[import-untyped, unused-ignore]


class EdgeError(Exception):
    """Everything that this package raises on purpose. `reason` is stable, `str()` is for people."""

    reason = "EDGE_FAILED"


class SpoolFullError(EdgeError):
    """The spool has reached its bound and the prediction was not taken; status() counts it."""

    reason = "SPOOL_FULL"


class SpoolLockedError(EdgeError):
    """Another process uses the spool file."""

    reason = "SPOOL_LOCKED"


class SpoolBrokenError(EdgeError):
    """The spool file was damaged while it was open. What is whole in it is kept when it is opened again."""

    reason = "SPOOL_BROKEN"


class SessionEndedError(EdgeError):
    """The session has ended; it takes no more predictions."""

    reason = "SESSION_ENDED"


class OtherPersonError(EdgeError):
    """The spool holds predictions of another person than the API key's."""

    reason = "SPOOL_OF_ANOTHER_PERSON"


class DeliveryError(EdgeError):
    """Sending is blocked, by a revoked key for instance; `reason` says by what. What waits stays in the spool."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason = reason


class FlushTimeoutError(EdgeError):
    """Predictions are still not acknowledged. They stay in the spool and are sent later."""

    reason = "FLUSH_TIMEOUT"


class SealingError(EdgeError):
    """Sealed bytes are damaged, or sealed for another key, table, person or row."""

    reason = "SEALING_FAILED"


class WrongPassphraseError(SealingError):
    """The passphrase doesn't open the wrapped private key."""

    reason = "WRONG_PASSPHRASE"


class InvalidInputError(EdgeError):
    """A value that no service would take; the message names the field."""

    reason = "INVALID_INPUT"


def error_info(error: grpc.RpcError) -> ErrorInfo | None:
    """The google.rpc.ErrorInfo of a failed call, if the service sent one."""
    info = ErrorInfo()
    return info if _unpack(error, info) else None


def retry_delay_seconds(error: grpc.RpcError) -> float | None:
    """How long a service asked to wait; None when it didn't."""
    info = RetryInfo()
    return info.retry_delay.ToTimedelta().total_seconds() if _unpack(error, info) else None


def _unpack(error: grpc.RpcError, message: Message) -> bool:
    """Fills the message with the error's detail of its type. False when there is none."""
    try:
        status = rpc_status.from_call(cast(Any, error))
    except ValueError:  # status details that contradict the code: not ours
        return False
    return any(detail.Unpack(message) for detail in (status.details if status else ()))


def reason_of(error: grpc.RpcError) -> str:
    """The stable reason of a failed call, such as SESSION_ENDED; empty when the service gave none."""
    info = error_info(error)
    return info.reason if info else ""


def metadata_of(error: grpc.RpcError) -> Mapping[str, str]:
    """What the service added to the reason, such as server_time; empty when it gave nothing."""
    info = error_info(error)
    return info.metadata if info else {}
