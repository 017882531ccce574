"""What analytics may tell: buckets of time, and nothing that rests on too few people."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from enum import Enum, IntEnum
from typing import NamedTuple, Protocol, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

PEOPLE_MIN = 10
PERIOD_MAX = timedelta(days=366)
BUCKETS_MAX = 800
CELLS_MAX = 100
PERCENTS = (50.0, 90.0, 95.0, 99.0)


class Source(IntEnum):
    """The numbers of the contract's AnalyticsSource."""

    VISION = 1
    AUDIO = 2
    TEXT = 3
    ANALYSES = 4
    VIDEO = 5

    @property
    def has_levels(self) -> bool:
        return self in (Source.TEXT, Source.VIDEO)

    @property
    def has_risk(self) -> bool:
        return self is not Source.ANALYSES

    @property
    def has_latency(self) -> bool:
        return self in (Source.ANALYSES, Source.VIDEO)


class Width(IntEnum):
    """The numbers of the contract's BucketWidth."""

    HOUR = 1
    DAY = 2
    WEEK = 3


class Period(NamedTuple):
    """From start on, before end."""

    start: datetime
    end: datetime

    @property
    def is_valid(self) -> bool:
        return timedelta(0) < self.end - self.start <= PERIOD_MAX

    @property
    def is_whole_days(self) -> bool:
        return all(moment.astimezone(UTC).time() == time() for moment in self)


class Everybody(Enum):
    EVERYBODY = "everybody"


# One person's anonymous_id, '' for the caller's; a cohort's; or everybody.
Asked = str | frozenset[str] | Everybody


@dataclass(frozen=True, slots=True)
class Group:
    """Whose rows: None is everybody's. What is told of one person hides nothing."""

    user_ids: Sequence[UUID] | None
    is_one_person: bool


class Basis(NamedTuple):
    source: Source
    rows: int
    people: int
    period: Period
    incomplete: bool = False


class Counted(Protocol):
    @property
    def people(self) -> int: ...


C = TypeVar("C", bound=Counted)


def without_small(cells: Sequence[C], *, has_rest: bool = False) -> list[C]:
    """The cells that may be told beside their total.

    Those under PEOPLE_MIN are left out, and with them the smallest of the others: what the total has more than the
    cells then rests on enough people too. `has_rest` says that the total has more than the cells already.
    """
    told = [cell for cell in cells if cell.people >= PEOPLE_MIN]
    if told and (has_rest or len(told) < len(cells)):
        told.remove(min(told, key=lambda cell: cell.people))
    return told


def bucket_edges(period: Period, width: Width, zone: ZoneInfo) -> list[datetime]:
    """Where buckets begin, at most BUCKETS_MAX + 1 of them: the period's start, then each full hour, midnight or Monday
    of the zone before its end.
    """
    edges = [period.start]
    for boundary in _STEPS[width](period.start, zone):
        if boundary >= period.end or len(edges) > BUCKETS_MAX:
            return edges
        if boundary > edges[-1]:
            edges.append(boundary)
    raise AssertionError("time goes on")


def _hours(start: datetime, zone: ZoneInfo) -> Iterator[datetime]:
    boundary = start
    while True:
        yield boundary
        local = (boundary + timedelta(hours=1)).astimezone(zone)
        into = timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
        # Subtracted from the instant: where clocks are changed by half an hour, wall time would mislead.
        boundary = boundary + timedelta(hours=1) - into


def _days(start: datetime, zone: ZoneInfo, days: int = 1) -> Iterator[datetime]:
    date = start.astimezone(zone).date()
    if days == 7:
        date -= timedelta(days=date.weekday())
    while True:
        yield datetime.combine(date, time(), zone).astimezone(UTC)
        date += timedelta(days=days)


def _weeks(start: datetime, zone: ZoneInfo) -> Iterator[datetime]:
    return _days(start, zone, days=7)


_STEPS: dict[Width, Callable[[datetime, ZoneInfo], Iterator[datetime]]] = {
    Width.HOUR: _hours,
    Width.DAY: _days,
    Width.WEEK: _weeks,
}
