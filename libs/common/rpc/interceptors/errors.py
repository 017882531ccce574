"""Turns what was raised into a status with a stable reason; what wasn't meant to be raised stays inside."""

import asyncio
from typing import Any

import grpc
import structlog
from grpc_status import rpc_status  # type: ignore[import-untyped]

from libs.common.observability.failure import describe_failure
from libs.common.rpc.call import Call, Proceed
from libs.common.rpc.errors import AppError, ErrorKind, to_status
from libs.common.rpc.interceptors.request_id import KEY as REQUEST_ID

log = structlog.get_logger()


class Errors:
    async def intercept(self, call: Call, proceed: Proceed) -> Any:
        try:
            return await proceed(call)
        except AppError as error:
            return await _abort(call, error)
        except asyncio.CancelledError:
            call.status = grpc.StatusCode.CANCELLED
            raise
        except grpc.aio.AbortError:  # only servicers of gRPC itself abort on their own
            call.status = call.context.code() or grpc.StatusCode.UNKNOWN
            raise
        except Exception as error:
            if call.context.cancelled() or isinstance(error, grpc.aio.InternalError):
                raise _gone(call) from error
            log.error("call failed unexpectedly", method=call.method.path, **describe_failure(error))
            return await _abort(call, AppError(ErrorKind.INTERNAL, "INTERNAL", "internal error"))


def _gone(call: Call) -> asyncio.CancelledError:
    """The client went away while it was written to; gRPC says so a moment after the write has failed."""
    call.status = grpc.StatusCode.CANCELLED
    return asyncio.CancelledError()


async def _abort(call: Call, error: AppError) -> None:
    call.status = error.kind.value
    call.reason = error.reason
    status = rpc_status.to_status(to_status(error))
    trailers = (*status.trailing_metadata, (REQUEST_ID, call.request_id))
    try:
        await call.context.abort(status.code, status.details, trailers)
    except grpc.aio.InternalError as failure:
        raise _gone(call) from failure
