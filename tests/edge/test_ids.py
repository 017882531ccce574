from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quietus_edge.ids import uuid7, uuid7_time
from quietus_edge.normalise import four_decimals

TIMES = st.datetimes(datetime(1970, 1, 1), datetime(9999, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


@given(TIMES)
def test_an_id_carries_its_time_to_the_millisecond(at: datetime) -> None:
    assert uuid7_time(uuid7(at)) == at.replace(microsecond=at.microsecond // 1000 * 1000)


@given(TIMES, TIMES)
def test_ids_sort_by_time(one: datetime, other: datetime) -> None:
    earlier, later = sorted((one, other))
    if later - earlier > timedelta(microseconds=1):
        assert uuid7(earlier) < uuid7(later)


def test_the_example_of_the_standard() -> None:
    # RFC 9562, appendix A.6
    at = datetime(2022, 2, 22, 14, 22, 22, tzinfo=timezone(timedelta(hours=-5)))
    made = uuid7(at, lambda bits: 0x18C4DC0C0C07398F)
    assert str(made) == "017f22e2-79b0-7000-98c4-dc0c0c07398f"
    assert (made.version, made.variant) == (7, "specified in RFC 4122")


def test_what_is_no_uuid7_has_no_time() -> None:
    with pytest.raises(ValueError, match="not a UUIDv7"):
        uuid7_time(uuid4())


def test_a_clock_before_1970_is_refused() -> None:
    with pytest.raises(ValueError, match="1970"):
        uuid7(datetime(1969, 1, 1, tzinfo=UTC))


def test_two_ids_of_one_instant_differ() -> None:
    at = datetime(2025, 1, 1, tzinfo=UTC)
    made = {uuid7(at) for _ in range(100)}
    assert len(made) == 100
    assert all(isinstance(one, UUID) for one in made)


@given(st.integers(-10_000, 10_000))
def test_normalising_twice_changes_nothing(k: int) -> None:
    assert four_decimals(k / 10_000) == k / 10_000


@given(st.floats(-1, 1))
def test_normalised_scores_are_near_and_on_the_grid(value: float) -> None:
    kept = four_decimals(value)
    assert abs(kept - value) <= 0.00005 + 1e-12
    assert kept == round(kept * 10_000) / 10_000


def test_halves_go_to_the_even_side() -> None:
    assert [four_decimals(k / 20_000) for k in (1, 5, 7)] == [0.0, 0.0002, 0.0004]
