"""Counts what is acknowledged between two moments."""

import asyncio
import time
from array import array


class Recorder:
    """Times are those of the event loop, in seconds."""

    def __init__(self, warm_up_seconds: float, seconds: float) -> None:
        self._warm_up_seconds = warm_up_seconds
        self._seconds = seconds
        self._from = self._until = float("inf")
        self._predictions = 0
        self._latencies = array("d")
        self._cpu_seconds = 0.0

    @property
    def over(self) -> bool:
        return asyncio.get_running_loop().time() >= self._until

    def start(self, now: float) -> None:
        self._from = now + self._warm_up_seconds
        self._until = self._from + self._seconds

    def acknowledged(self, now: float, latency: float, predictions: int) -> None:
        if self._from <= now < self._until:
            self._predictions += predictions
            self._latencies.append(latency)

    async def wait(self) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(self._from - loop.time())
        before = time.process_time()
        await asyncio.sleep(self._until - loop.time())
        self._cpu_seconds = time.process_time() - before

    def result(self) -> dict[str, float]:
        ordered = sorted(self._latencies)
        if not ordered:
            raise RuntimeError("nothing was acknowledged")
        return {
            "predictions_per_second": self._predictions / self._seconds,
            "p50_ms": ordered[len(ordered) // 2] * 1000,
            "p99_ms": ordered[len(ordered) * 99 // 100] * 1000,
            "generator_cpu": self._cpu_seconds / self._seconds,
        }
