"""Refuses at once what would only wait: more calls in flight than the service is meant to carry."""

from typing import Any

from libs.common.observability.metrics import Metrics
from libs.common.rpc.call import Call, Proceed
from libs.common.rpc.errors import AppError, ErrorKind

_RETRY_AFTER_SECONDS = 1.0


class Shed:
    def __init__(self, max_concurrent_calls: int, max_streams: int, metrics: Metrics) -> None:
        self._limits = {"unary": max_concurrent_calls, "stream": max_streams}
        self._running = {"unary": 0, "stream": 0}
        self._in_flight = {kind: metrics.calls_in_flight.labels(kind) for kind in self._limits}
        self._shed = {kind: metrics.calls_shed.labels(kind) for kind in self._limits}

    async def intercept(self, call: Call, proceed: Proceed) -> Any:
        if call.method.policy.foreign:  # a busy service is still alive, and its probe must see that
            return await proceed(call)
        kind = "stream" if call.method.is_stream else "unary"
        if self._running[kind] >= self._limits[kind]:
            self._shed[kind].inc()
            raise AppError(ErrorKind.RESOURCE_EXHAUSTED, "OVERLOADED", retry_after_seconds=_RETRY_AFTER_SECONDS)
        self._running[kind] += 1
        self._in_flight[kind].inc()
        try:
            return await proceed(call)
        finally:
            self._running[kind] -= 1
            self._in_flight[kind].dec()
