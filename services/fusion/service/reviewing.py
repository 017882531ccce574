"""Reviews thresholds by how cases ended. It reads, counts and proposes; it changes nothing."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

from libs.common.clock import Clock, utc_now
from libs.common.db.audit import append_audit
from libs.common.db.database import Database, Transaction
from libs.common.rpc.caller import Caller
from libs.common.rpc.errors import AppError, ErrorKind
from quietus_edge.ids import EPOCH
from services.fusion import thresholds
from services.fusion.service.registry import KnownModels
from services.fusion.store import courses, outcomes
from services.fusion.thresholds import Case, Course, Decided, Effect, Standing, Thresholds

PERIOD_DEFAULT = timedelta(days=90)
PERIOD_MAX = timedelta(days=366)
MOST_CASES = 5_000
STATEMENT_SECONDS = 5.0
RETRY_AFTER_SECONDS = 2.0

Candidate = tuple[float | None, float | None]  # scores at which high and critical are entered


@dataclass(frozen=True, slots=True)
class Period:
    """From start on, before end."""

    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Review:
    model_version: str
    period: Period
    cases: int
    standings: Mapping[Standing, int]
    decided: Decided
    noise: Mapping[str, int]
    sessions: int
    sessions_in_period: int
    current: Effect
    proposals: Sequence[Effect]
    candidates: Sequence[Effect]


@dataclass(frozen=True, slots=True)
class _Stored:
    cases: Sequence[Case]
    sessions: Sequence[Course]
    sessions_in_period: int


class Reviews:
    """Raises PERIOD_INVALID, PERIOD_NOT_WHOLE_DAYS, THRESHOLDS_INVALID, TOO_FEW_OUTCOMES, REVIEW_BUSY,
    REVIEW_TOO_LARGE.
    """

    def __init__(self, database: Database, models: KnownModels, clock: Clock = utc_now) -> None:
        self._database = database
        self._models = models
        self._clock = clock
        self._is_busy = False

    async def review(
        self, caller: Caller, start: datetime | None, end: datetime | None, candidates: Sequence[Candidate]
    ) -> Review:
        period = self._period(start, end)
        with self._one_at_a_time():
            return await self._review(caller, period, candidates)

    async def _review(self, caller: Caller, period: Period, candidates: Sequence[Candidate]) -> Review:
        async with self._reading(caller) as tx:
            models = await self._models.in_force(tx)
            model = models.active
            current = Thresholds.of(model.session)
            wanted = [current.moved(*candidate) for candidate in candidates]
            _check(wanted)
            alike = [name for name, one in models.versions.items() if thresholds.scores_alike(one, model)]
            stored = await _stored(tx, period, alike)
        # It may take a while, and what comes in doesn't wait for it.
        return await asyncio.to_thread(_review, model.version, period, current, stored, wanted)

    def _period(self, start: datetime | None, end: datetime | None) -> Period:
        """Of whole days in UTC: two periods that differ in a moment would tell what happened in it."""
        last = end or datetime.combine(self._clock().astimezone(UTC).date(), time(), UTC) + timedelta(days=1)
        first = start or max(last, EPOCH + PERIOD_DEFAULT) - PERIOD_DEFAULT
        if not timedelta(0) < last - first <= PERIOD_MAX:
            raise AppError(ErrorKind.INVALID_ARGUMENT, "PERIOD_INVALID", "from 1 to 366 days", field="end_time")
        for field, moment in (("start_time", first), ("end_time", last)):
            if moment.astimezone(UTC).time() != time():
                raise AppError(ErrorKind.INVALID_ARGUMENT, "PERIOD_NOT_WHOLE_DAYS", "midnights of UTC", field=field)
        return Period(first, last)

    @contextmanager
    def _one_at_a_time(self) -> Iterator[None]:
        """So that reviews take neither the database nor the processor from what comes in."""
        if self._is_busy:
            raise AppError(ErrorKind.RESOURCE_EXHAUSTED, "REVIEW_BUSY", retry_after_seconds=RETRY_AFTER_SECONDS)
        self._is_busy = True
        try:
            yield
        finally:
            self._is_busy = False

    @asynccontextmanager
    async def _reading(self, caller: Caller) -> AsyncIterator[Transaction]:
        """Audited."""
        try:
            async with self._database.read() as tx, courses.at_most(tx, STATEMENT_SECONDS):
                actor = f"admin:{caller.anonymous_id}"
                await append_audit(
                    tx, user_id=None, actor=actor, action="thresholds.review", resource_type="case_outcome"
                )
                yield tx
        except courses.TooLongError as error:
            raise AppError(ErrorKind.RESOURCE_EXHAUSTED, "REVIEW_TOO_LARGE", "ask for a shorter period") from error


async def _stored(tx: Transaction, period: Period, versions: Sequence[str]) -> _Stored:
    """`versions`: of the models whose scores compare."""
    closed = await outcomes.read_closed(tx, period.start, period.end, MOST_CASES)
    of_cases = await courses.read_among(tx, {one for case in closed for one in case.session_ids}, versions)
    started = await courses.read_started(tx, period.start, period.end, versions)
    in_period = await courses.count_started(tx, period.start, period.end)
    cases = [Case(one, [of_cases[known] for known in one.session_ids if known in of_cases]) for one in closed]
    return _Stored(cases, [course for course in started.values() if course.is_comparable], in_period)


def _review(
    model_version: str, period: Period, current: Thresholds, stored: _Stored, wanted: Sequence[Thresholds]
) -> Review:
    decided = thresholds.decided(stored.cases, current)
    if not decided.are_enough:
        raise _too_few(decided, len(stored.cases))

    def effect(one: Thresholds) -> Effect:
        return thresholds.effect_of(one, current, decided, stored.sessions)

    return Review(
        model_version=model_version,
        period=period,
        cases=len(stored.cases),
        standings=Counter(case.standing(current) for case in stored.cases),
        decided=decided,
        noise=thresholds.noise(stored.cases),
        sessions=len(stored.sessions),
        sessions_in_period=stored.sessions_in_period,
        current=effect(current),
        proposals=[effect(one) for one in thresholds.propose(decided, current)],
        candidates=[effect(one) for one in wanted],
    )


def _check(wanted: Sequence[Thresholds]) -> None:
    for index, one in enumerate(wanted):
        if not one.are_in_order:
            raise AppError(
                ErrorKind.INVALID_ARGUMENT,
                "THRESHOLDS_INVALID",
                "levels must come in their order",
                field=f"candidates[{index}]",
            )


def _too_few(decided: Decided, cases: int) -> AppError:
    return AppError(
        ErrorKind.FAILED_PRECONDITION,
        "TOO_FEW_OUTCOMES",
        "too few people with alarms that thresholds decided",
        metadata={
            "cases": str(cases),
            "true_alarm_people": str(decided.true_people),
            "true_alarm_people_needed": str(thresholds.TRUE_PEOPLE_NEEDED),
            "false_alarm_people": str(decided.false_people),
            "false_alarm_people_needed": str(thresholds.FALSE_PEOPLE_NEEDED),
        },
    )
