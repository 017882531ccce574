"""The wall clock, as a value that a composition root hands down, and how to see that somebody set it."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

Clock = Callable[[], datetime]
# Seconds since some moment; nobody can set it.
Timer = Callable[[], float]


def utc_now() -> datetime:
    return datetime.now(UTC)


def running_seconds() -> float:
    """Goes on while the machine sleeps, where the system has such a timer (Linux)."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class Moment(NamedTuple):
    """What a wall clock and a timer say at once."""

    time: datetime
    running_seconds: float

    def set_ahead_since(self, earlier: "Moment") -> timedelta:
        """How far the wall clock was set in between; negative when it was set back."""
        return self.time - earlier.time - timedelta(seconds=self.running_seconds - earlier.running_seconds)
