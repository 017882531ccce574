"""Buckets of time, and what may be told."""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.analytics import BUCKETS_MAX, PEOPLE_MIN, Period, Width, bucket_edges, without_small

START = datetime(2026, 3, 1, tzinfo=UTC)
# Berlin changes by an hour, Lord Howe by half an hour; Santiago begins summer at midnight.
ZONES = [
    ZoneInfo(name) for name in ("UTC", "Africa/Nairobi", "Europe/Berlin", "Australia/Lord_Howe", "America/Santiago")
]
LENGTH = {Width.HOUR: timedelta(hours=1), Width.DAY: timedelta(days=1), Width.WEEK: timedelta(days=7)}


class Cell(NamedTuple):
    name: int
    people: int


CELLS = st.lists(st.integers(1, 40), max_size=8).map(lambda sizes: [Cell(*pair) for pair in enumerate(sizes)])
MOMENTS = st.integers(0, 300 * 86_400).map(
    lambda seconds: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
)


@given(MOMENTS, st.integers(1, 20 * 86_400), st.sampled_from(Width), st.sampled_from(ZONES))
def test_buckets_cut_the_period_where_the_zones_clocks_do(
    start: datetime, seconds: int, width: Width, zone: ZoneInfo
) -> None:
    period = Period(start, start + timedelta(seconds=seconds))

    edges = bucket_edges(period, width, zone)

    assert edges[0] == start
    assert edges == sorted(set(edges))
    assert edges[-1] < period.end
    slack = timedelta(hours=1)
    for edge, following in zip(edges, [*edges[1:], period.end], strict=True):
        assert following - edge <= LENGTH[width] + slack
    for edge in edges[1:]:
        local = edge.astimezone(zone)
        midnight_is_left_out = zone.key == "America/Santiago" and local.hour == 1
        assert (local.minute, local.second) == (0, 0) or zone.key == "Australia/Lord_Howe"
        if width is not Width.HOUR:
            assert local.hour == 0 or midnight_is_left_out
        if width is Width.WEEK:
            assert local.weekday() == 0


def test_a_day_of_changed_clocks_is_one_bucket() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    period = Period(datetime(2026, 3, 29, tzinfo=berlin).astimezone(UTC), datetime(2026, 3, 30, tzinfo=berlin))
    assert len(bucket_edges(period, Width.DAY, berlin)) == 1
    assert len(bucket_edges(period, Width.HOUR, berlin)) == 23


def test_too_many_buckets_are_not_all_made() -> None:
    assert len(bucket_edges(Period(START, START + timedelta(days=366)), Width.HOUR, ZONES[0])) == BUCKETS_MAX + 1


@pytest.mark.parametrize(
    ("length", "is_valid"),
    [
        (timedelta(0), False),
        (-timedelta(days=1), False),
        (timedelta.resolution, True),
        (timedelta(days=366), True),
        (timedelta(days=366, microseconds=1), False),
    ],
)
def test_a_period_has_bounds(length: timedelta, is_valid: bool) -> None:
    assert Period(START, START + length).is_valid is is_valid


@given(CELLS, st.booleans())
def test_nothing_is_told_of_too_few_nor_left_to_be_computed(cells: list[Cell], has_rest: bool) -> None:
    told = without_small(cells, has_rest=has_rest)

    hidden = [cell for cell in cells if cell not in told]
    assert all(cell.people >= PEOPLE_MIN for cell in told)
    if told and (hidden or has_rest):
        assert max(cell.people for cell in hidden) >= PEOPLE_MIN
    assert told == [cell for cell in cells if cell in told]
    if not has_rest and all(cell.people >= PEOPLE_MIN for cell in cells):
        assert told == cells


def test_the_smallest_of_the_others_is_hidden_too() -> None:
    cells = [Cell(0, 30), Cell(1, 12), Cell(2, 9), Cell(3, 20)]
    assert without_small(cells) == [Cell(0, 30), Cell(3, 20)]
    assert without_small(cells[:1] + cells[3:]) == [Cell(0, 30), Cell(3, 20)]
