"""Rates and pauses, by a clock that the test moves."""

from hypothesis import given
from hypothesis import strategies as st

from services.fusion.restraint import CircuitBreaker, TokenBucket


class Clock:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@given(st.lists(st.floats(0, 20), min_size=1, max_size=50))
def test_no_minute_sees_more_than_the_rate_and_a_burst(pauses: list[float]) -> None:
    clock = Clock()
    bucket = TokenBucket(per_minute=30, burst=5, clock=clock)
    used = []
    for pause in pauses:
        clock.seconds += pause
        clock.seconds += bucket.take()  # as who waits for it does
        used.append(clock.seconds)
    for first in used:
        assert sum(first <= moment < first + 60 for moment in used) <= 30 + 5


def test_a_burst_is_free_and_then_each_waits_for_its_token() -> None:
    clock = Clock()
    bucket = TokenBucket(per_minute=30, burst=2, clock=clock)
    assert [bucket.take() for _ in range(4)] == [0.0, 0.0, 2.0, 4.0]
    clock.seconds += 3600
    assert [bucket.take() for _ in range(3)] == [0.0, 0.0, 2.0]


def test_a_breaker_opens_after_failures_in_a_row_and_longer_each_time() -> None:
    clock = Clock()
    breaker = CircuitBreaker(failures=3, first_pause=30, longest_pause=100, clock=clock)
    for _ in range(2):
        breaker.failed()
        breaker.failed()
        assert not breaker.is_open
        breaker.succeeded()
    breaker.failed()
    for pause in (0, 30, 60, 100, 100):
        clock.seconds += pause
        assert not breaker.is_open
        breaker.failed()
        if not pause:
            breaker.failed()
        assert breaker.is_open
    clock.seconds += 99
    assert breaker.is_open
    clock.seconds += 1
    assert not breaker.is_open
    breaker.succeeded()
    breaker.failed()
    assert not breaker.is_open
