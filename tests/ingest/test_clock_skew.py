"""How far a device's clock is off, by what arrives."""

from hypothesis import given
from hypothesis import strategies as st

from services.ingest.clock_skew import JUMP_MICROSECONDS, JUMP_SAMPLES, SAMPLES_MAX, DeviceClock

SECOND = 1_000_000
DAY = 86_400 * SECOND
START = 1_795_000_000 * SECOND

skews = st.integers(-2 * DAY, 2 * DAY)
# The way to the server and the way back.
ways = st.tuples(st.integers(0, 5 * SECOND), st.integers(0, 5 * SECOND))


def tell(clock: DeviceClock, skew: int, delays: list[tuple[int, int]], *, measured: bool, since: int = START) -> None:
    for number, (there, back) in enumerate(delays):
        sent = since + number * 10 * SECOND
        clock.add(sent - skew, sent + there, there + back if measured else None)


@given(skews, st.lists(ways, min_size=1, max_size=40))
def test_with_round_trips_the_skew_lies_within_the_uncertainty(skew: int, delays: list[tuple[int, int]]) -> None:
    clock = DeviceClock()
    tell(clock, skew, delays, measured=True)
    estimate = clock.estimate
    assert estimate is not None
    assert estimate.uncertainty_microseconds == min((there + back) // 2 for there, back in delays[-SAMPLES_MAX:])
    assert abs(estimate.skew_microseconds - skew) <= estimate.uncertainty_microseconds + 1
    assert estimate.samples == min(len(delays), SAMPLES_MAX)


@given(skews, st.lists(ways, min_size=1, max_size=40))
def test_without_round_trips_the_skew_is_the_estimate_or_less(skew: int, delays: list[tuple[int, int]]) -> None:
    clock = DeviceClock()
    tell(clock, skew, delays, measured=False)
    estimate = clock.estimate
    assert estimate is not None
    assert estimate.uncertainty_microseconds is None
    assert estimate.skew_microseconds - skew == min(there for there, _ in delays[-SAMPLES_MAX:])


@given(
    skews,
    skews,
    st.lists(ways, min_size=JUMP_SAMPLES + 1, max_size=20),
    st.lists(ways, min_size=JUMP_SAMPLES, max_size=20),
    st.booleans(),
)
def test_a_clock_that_was_set_anew_is_followed(
    before: int, after: int, earlier: list[tuple[int, int]], later: list[tuple[int, int]], measured: bool
) -> None:
    if abs(after - before) <= JUMP_MICROSECONDS + 20 * SECOND:
        after = before + DAY
    clock = DeviceClock()
    tell(clock, before, earlier, measured=measured)
    tell(clock, after, later, measured=measured, since=START + 1000 * SECOND)
    estimate = clock.estimate
    assert estimate is not None
    assert abs(estimate.skew_microseconds - after) <= 5 * SECOND + 1


@given(skews, st.lists(ways, min_size=JUMP_SAMPLES + 1, max_size=10), st.integers(1, JUMP_SAMPLES - 1))
def test_few_wild_samples_are_not_believed(skew: int, delays: list[tuple[int, int]], wild: int) -> None:
    clock = DeviceClock()
    tell(clock, skew, delays, measured=False)
    tell(clock, skew, [(DAY, 0)] * wild, measured=False, since=START + 1000 * SECOND)
    estimate = clock.estimate
    assert estimate is not None
    assert 0 <= estimate.skew_microseconds - skew <= 5 * SECOND


def test_nothing_is_known_before_the_first_sample() -> None:
    assert DeviceClock().estimate is None


def test_small_changes_are_not_worth_writing() -> None:
    clock = DeviceClock()
    clock.add(START, START + SECOND)
    first = clock.estimate
    assert first is not None
    assert first.differs_from(None)
    clock.add(START + 10 * SECOND, START + 10 * SECOND + SECOND - 1000)
    second = clock.estimate
    assert second is not None
    assert not second.differs_from(first)
    clock.add(START + 20 * SECOND, START + 20 * SECOND + SECOND // 2)
    assert clock.estimate is not None
    assert clock.estimate.differs_from(first)
