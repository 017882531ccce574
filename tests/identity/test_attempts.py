from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from services.identity.attempts import BURST, REFILL_SECONDS, take_attempt

START = datetime(2030, 1, 1, tzinfo=UTC)


def test_a_burst_is_allowed_then_one_must_wait_for_a_refill() -> None:
    full_at = None
    for _ in range(BURST):
        attempt = take_attempt(full_at, START)
        assert attempt.allowed
        full_at = attempt.full_at

    refused = take_attempt(full_at, START)

    assert not refused.allowed
    assert refused.retry_after_seconds == REFILL_SECONDS
    assert take_attempt(refused.full_at, START + timedelta(seconds=REFILL_SECONDS)).allowed


@given(gaps=st.lists(st.floats(0, 1000), max_size=60))
def test_no_window_allows_more_than_a_burst_and_its_refills(gaps: list[float]) -> None:
    now, full_at, allowed = START, None, []
    for gap in gaps:
        now += timedelta(seconds=gap)
        attempt = take_attempt(full_at, now)
        full_at = attempt.full_at
        if attempt.allowed:
            allowed.append(now)

    for first, moment in enumerate(allowed):
        for last in range(first, len(allowed)):
            seconds = (allowed[last] - moment).total_seconds()
            assert last - first + 1 <= BURST + seconds / REFILL_SECONDS + 1e-6


@given(used=st.integers(0, BURST + 3), seconds=st.floats(0, 2 * BURST * REFILL_SECONDS))
def test_waiting_for_what_was_said_is_enough(used: int, seconds: float) -> None:
    full_at, now = None, START
    for _ in range(used):
        full_at = take_attempt(full_at, now).full_at
    now += timedelta(seconds=seconds)
    attempt = take_attempt(full_at, now)
    if not attempt.allowed:
        assert take_attempt(attempt.full_at, now + timedelta(seconds=attempt.retry_after_seconds)).allowed
