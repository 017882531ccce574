"""Counts and times calls for Prometheus."""

import time
from typing import Any

from libs.common.observability.metrics import Metrics
from libs.common.rpc.call import Call, Proceed


class Measure:
    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    async def intercept(self, call: Call, proceed: Proceed) -> Any:
        start = time.perf_counter()
        try:
            return await proceed(call)
        finally:
            self._metrics.calls.labels(call.method.path, call.status.name).inc()
            self._metrics.call_seconds.labels(call.method.path).observe(time.perf_counter() - start)
