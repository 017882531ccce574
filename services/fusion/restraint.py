"""How often something outside may be asked: by a rate, and hardly at all while it fails. Times are in seconds."""

import time
from collections.abc import Callable

SecondsClock = Callable[[], float]


class TokenBucket:
    def __init__(self, per_minute: float, burst: int, clock: SecondsClock = time.monotonic) -> None:
        self._per_second = per_minute / 60.0
        self._burst = burst
        self._clock = clock
        self._tokens = float(burst)
        self._time = clock()

    def take(self) -> float:
        """Takes a token, and says how long to wait before it may be used."""
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._time) * self._per_second) - 1.0
        self._time = now
        return max(0.0, -self._tokens / self._per_second)


class CircuitBreaker:
    """Opens after `failures` in a row, and for twice as long each time that the one attempt after a pause fails too."""

    def __init__(
        self, failures: int, first_pause: float, longest_pause: float, clock: SecondsClock = time.monotonic
    ) -> None:
        self._most_failures = failures
        self._first_pause = first_pause
        self._longest_pause = longest_pause
        self._clock = clock
        self._failures = 0
        self._pause = first_pause
        self._open_until = float("-inf")

    @property
    def is_open(self) -> bool:
        return self._clock() < self._open_until

    def succeeded(self) -> None:
        self._failures = 0
        self._pause = self._first_pause

    def failed(self) -> None:
        self._failures += 1
        if self._failures >= self._most_failures:
            self._open_until = self._clock() + self._pause
            self._pause = min(2 * self._pause, self._longest_pause)
