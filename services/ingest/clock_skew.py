"""How far a device's clock is from the server's, from what it says when it sends.

A message takes time, so server's time minus device's time is the skew plus the delay: the smallest delay tells best.
With the round trip of the message before, half of it is taken for the way here, as NTP does (RFC 5905, section 10: of
the last samples the one with the least delay counts, and is off by half of it at most).
"""

from collections import deque
from dataclasses import dataclass

SAMPLES_MAX = 16
# A clock that was set anew: so many samples in a row, each so far from what was known, and nothing of before counts.
JUMP_SAMPLES = 3
JUMP_MICROSECONDS = 10_000_000


@dataclass(frozen=True, slots=True)
class ClockEstimate:
    """`skew_microseconds` is to be added to the device's clock, and off by `uncertainty_microseconds` at most. Without
    round trips that is None: the skew is the estimate or less. `estimate_time` in microseconds since 1970.
    """

    skew_microseconds: int
    uncertainty_microseconds: int | None
    samples: int
    estimate_time: int

    def differs_from(self, other: "ClockEstimate | None") -> bool:
        """By as much as is worth writing down."""
        if other is None or (self.uncertainty_microseconds is None) != (other.uncertainty_microseconds is None):
            return True
        moved = abs(self.skew_microseconds - other.skew_microseconds)
        return moved > WORTH_WRITING_MICROSECONDS or self.estimate_time - other.estimate_time > AGE_MICROSECONDS


WORTH_WRITING_MICROSECONDS = 100_000
AGE_MICROSECONDS = 600_000_000


@dataclass(frozen=True, slots=True)
class _Sample:
    skew: int
    error: int | None


class DeviceClock:
    """The newest samples of one device. All times in microseconds."""

    def __init__(self) -> None:
        self._samples: deque[_Sample] = deque(maxlen=SAMPLES_MAX)
        self._newest = 0

    def add(self, client_time: int, server_time: int, round_trip: int | None = None) -> None:
        """Times since 1970: by the device's clock when it sent, by the server's when it was read."""
        way = None if round_trip is None else round_trip // 2
        self._samples.append(_Sample(server_time - client_time - (way or 0), way))
        self._newest = server_time
        self._forget_what_was_before_a_jump()

    @property
    def estimate(self) -> ClockEstimate | None:
        """None before the first sample."""
        if not self._samples:
            return None
        best = _best(self._samples)
        return ClockEstimate(best.skew, best.error, len(self._samples), self._newest)

    def _forget_what_was_before_a_jump(self) -> None:
        if len(self._samples) <= JUMP_SAMPLES:
            return
        *before, _, _, _ = self._samples
        newest = list(self._samples)[-JUMP_SAMPLES:]
        known = _best(before).skew
        if all(abs(sample.skew - known) > JUMP_MICROSECONDS + (sample.error or 0) for sample in newest):
            self._samples = deque(newest, SAMPLES_MAX)


def _best(samples: "deque[_Sample] | list[_Sample]") -> _Sample:
    measured = [sample for sample in samples if sample.error is not None]
    if measured:
        return min(measured, key=lambda sample: sample.error or 0)
    return min(samples, key=lambda sample: sample.skew)
