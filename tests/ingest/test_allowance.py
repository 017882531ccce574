"""The token bucket of a device and of a person."""

from hypothesis import given
from hypothesis import strategies as st

from services.ingest.allowance import Allowance

SECOND = 1_000_000
SPENDING = st.lists(st.tuples(st.integers(0, 10 * SECOND), st.integers(1, 5_000)), min_size=1, max_size=30)


@given(SPENDING, st.floats(1, 1_000), st.floats(1, 10_000))
def test_whoever_waits_for_the_debt_never_gets_more_than_the_rate_and_the_burst(
    spending: list[tuple[int, int]], per_second: float, burst: float
) -> None:
    allowance = Allowance(per_second, burst)
    start = now = SECOND
    spent = 0
    for pause, predictions in spending:
        now += pause + int(allowance.debt_seconds(now + pause) * SECOND) + 1
        before = spent
        allowance.spend(predictions, now)
        spent += predictions
        assert before <= burst + per_second * (now - start) / SECOND + 1e-3


def test_a_debt_is_paid_in_time() -> None:
    allowance = Allowance(per_second=10, burst=5)
    allowance.spend(25, SECOND)
    assert allowance.is_overdrawn
    assert allowance.debt_seconds(SECOND) == 2
    assert allowance.debt_seconds(2 * SECOND) == 1
    assert allowance.debt_seconds(3 * SECOND) == 0
    assert not allowance.is_overdrawn


def test_a_clock_that_is_set_back_keeps_nobody_waiting_for_long() -> None:
    allowance = Allowance(per_second=10, burst=5)
    allowance.spend(15, 86_400 * SECOND)
    assert allowance.debt_seconds(SECOND) == 1
    assert allowance.debt_seconds(2 * SECOND) == 0
