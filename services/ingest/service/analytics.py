"""Answers questions about rows: whose may be asked of, and what may be told."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from libs.common.db.audit import append_audit
from libs.common.db.database import AnyRow, Database, Transaction
from libs.common.people.access import Access
from libs.common.rpc.caller import Caller
from libs.common.rpc.errors import AppError, ErrorKind
from quietus.common.v1.options_pb2 import ROLE_ADMIN
from services.ingest.analytics import (
    BUCKETS_MAX,
    CELLS_MAX,
    PEOPLE_MIN,
    Asked,
    Basis,
    Group,
    Period,
    Source,
    Width,
    bucket_edges,
    without_small,
)
from services.ingest.service.callers import actor_of
from services.ingest.store import analytics
from services.ingest.vocabulary import RISK_LEVELS

RETRY_AFTER_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class AnalyticsLimits:
    concurrent: int
    statement_seconds: float


@dataclass(frozen=True, slots=True)
class Question:
    caller: Caller
    asked: Asked
    period: Period


@dataclass(frozen=True, slots=True)
class Bucket:
    start: datetime
    total: AnyRow
    levels: Sequence[AnyRow]

    @property
    def people(self) -> int:
        people: int = self.total.people
        return people


class Analytics:
    """Raises PERIOD_INVALID, PERIOD_NOT_WHOLE_DAYS, NOT_YOUR_PERSON, COHORT_TOO_SMALL, ANALYTICS_BUSY,
    ANALYTICS_TOO_LARGE. Rows of the answers are those of the store.
    """

    def __init__(self, database: Database, access: Access, limits: AnalyticsLimits) -> None:
        self._database = database
        self._access = access
        self._limits = limits
        self._running = 0

    async def count(self, question: Question) -> list[Basis]:
        async with self._asked(question) as (tx, group):
            counts = []
            for source in Source:
                row = await analytics.totals(tx, source, group, question.period)
                counts.append(Basis(source, row.rows, row.people, question.period))
        told = counts if group.is_one_person else [basis for basis in counts if basis.people >= PEOPLE_MIN]
        if not told:
            raise _too_small()
        return told

    async def distribution(self, question: Question, source: Source) -> tuple[Basis, Sequence[AnyRow]]:
        """Cells with label, rows, people."""
        async with self._asked(question) as (tx, group):
            total, *cells = await analytics.distribution(tx, source, group, question.period)
        return _cells(group, source, question.period, total, cells)

    async def models(self, question: Question, source: Source) -> tuple[Basis, Sequence[AnyRow]]:
        """Cells with label, rows, people, mean_confidence, mean_distress."""
        async with self._asked(question) as (tx, group):
            total, *cells = await analytics.models(tx, source, group, question.period)
        return _cells(group, source, question.period, total, cells)

    async def risk(
        self, question: Question, source: Source, width: Width, timezone: str
    ) -> tuple[Basis, Sequence[Bucket]]:
        """INVALID_ARGUMENT SOURCE_WITHOUT_RISK, TIMEZONE_UNKNOWN, TOO_MANY_BUCKETS."""
        if not source.has_risk:
            raise AppError(ErrorKind.INVALID_ARGUMENT, "SOURCE_WITHOUT_RISK", field="source")
        _check(question)
        edges = bucket_edges(question.period, width, _zone(timezone))
        if len(edges) > BUCKETS_MAX:
            raise AppError(ErrorKind.INVALID_ARGUMENT, "TOO_MANY_BUCKETS", field="bucket_width")
        async with self._asked(question) as (tx, group):
            rows = await analytics.risk(tx, source, group, question.period, edges)
        total = next(row for row in rows if row.bucket is None)
        buckets = _buckets(rows, edges)
        basis = _basis(group, source, question.period, total)
        if group.is_one_person:
            return basis, buckets
        told = without_small(buckets)
        complete = [Bucket(bucket.start, bucket.total, without_small(bucket.levels)) for bucket in told]
        return basis._replace(incomplete=complete != buckets), complete

    async def latency(self, question: Question, source: Source) -> tuple[Basis, AnyRow]:
        """mean, percentiles. INVALID_ARGUMENT SOURCE_WITHOUT_LATENCY."""
        if not source.has_latency:
            raise AppError(ErrorKind.INVALID_ARGUMENT, "SOURCE_WITHOUT_LATENCY", field="source")
        async with self._asked(question) as (tx, group):
            row = await analytics.latency(tx, source, group, question.period)
        return _basis(group, source, question.period, row), row

    @asynccontextmanager
    async def _asked(self, question: Question) -> AsyncIterator[tuple[Transaction, Group]]:
        """One of a few at a time, so that questions can't take the database from what comes in."""
        _check(question)
        if self._running >= self._limits.concurrent:
            raise AppError(ErrorKind.RESOURCE_EXHAUSTED, "ANALYTICS_BUSY", retry_after_seconds=RETRY_AFTER_SECONDS)
        self._running += 1
        try:
            async with self._database.read() as tx:
                group = await self._group(tx, question)
                async with analytics.at_most(tx, self._limits.statement_seconds):
                    yield tx, group
        except analytics.TooLongError as error:
            raise AppError(ErrorKind.RESOURCE_EXHAUSTED, "ANALYTICS_TOO_LARGE", "ask for a shorter period") from error
        finally:
            self._running -= 1

    async def _group(self, tx: Transaction, question: Question) -> Group:
        caller, asked = question.caller, question.asked
        if isinstance(asked, str):
            person = await self._access.person_for(tx, caller, asked)
            return Group([person.user_id], is_one_person=True)
        if isinstance(asked, frozenset):
            people = await self._access.people_for(tx, caller, asked)
            if len(people) < PEOPLE_MIN:
                raise _too_small()
            return Group([person.user_id for person in people], is_one_person=False)
        if caller.role != ROLE_ADMIN:
            raise AppError(ErrorKind.PERMISSION_DENIED, "NOT_YOUR_PERSON")
        await append_audit(tx, user_id=None, actor=actor_of(caller), action="analytics.read", resource_type="everybody")
        return Group(None, is_one_person=False)


def _check(question: Question) -> None:
    if not question.period.is_valid:
        raise AppError(ErrorKind.INVALID_ARGUMENT, "PERIOD_INVALID", field="selection.end_time")
    # Periods that differ by a moment would tell what happened in it.
    if not isinstance(question.asked, str) and not question.period.is_whole_days:
        raise AppError(ErrorKind.INVALID_ARGUMENT, "PERIOD_NOT_WHOLE_DAYS", field="selection.start_time")


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name or "UTC")
    except (KeyError, OSError, ValueError) as error:  # unknown, a folder, or not a name at all
        raise AppError(ErrorKind.INVALID_ARGUMENT, "TIMEZONE_UNKNOWN", field="timezone") from error


def _buckets(rows: Sequence[AnyRow], edges: Sequence[datetime]) -> list[Bucket]:
    levels: dict[int, list[AnyRow]] = {}
    for row in rows:
        if row.label is not None:
            levels.setdefault(row.bucket, []).append(row)
    for found in levels.values():
        found.sort(key=lambda row: RISK_LEVELS.index(row.label))
    totals = [row for row in rows if row.bucket is not None and row.label is None]
    return [Bucket(edges[row.bucket - 1], row, levels.get(row.bucket, [])) for row in totals]


def _cells(
    group: Group, source: Source, period: Period, total: AnyRow, cells: Sequence[AnyRow]
) -> tuple[Basis, Sequence[AnyRow]]:
    basis = _basis(group, source, period, total)
    told = cells[:CELLS_MAX]
    if not group.is_one_person:
        told = without_small(told, has_rest=len(cells) > CELLS_MAX)
    return basis._replace(incomplete=len(told) < len(cells)), told


def _basis(group: Group, source: Source, period: Period, total: AnyRow) -> Basis:
    """FAILED_PRECONDITION COHORT_TOO_SMALL."""
    if not group.is_one_person and total.people < PEOPLE_MIN:
        raise _too_small()
    return Basis(source, total.rows, total.people, period)


def _too_small() -> AppError:
    return AppError(ErrorKind.FAILED_PRECONDITION, "COHORT_TOO_SMALL", "the answer would rest on too few people")
