"""AnalyticsService over a real channel, compared with what the tables hold."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, time, timedelta
from statistics import fmean
from typing import Any, NamedTuple
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import grpc
import numpy as np
import pytest
import pytest_asyncio

from libs.common.db.database import Database
from libs.common.db.roles import dsn_for, slice_role
from libs.common.rpc.errors import reason_of
from libs.common.timestamps import to_datetime, to_timestamp
from quietus.common.v1.options_pb2 import ROLE_ADMIN, ROLE_USER
from quietus.ingest.v1 import analytics_pb2 as contract
from quietus.ingest.v1.analytics_pb2_grpc import AnalyticsServiceStub
from services.ingest.analytics import Period, Source
from services.ingest.service import analytics as analytics_module
from tests.ingest import filling
from tests.ingest.suite import PATIENCE_SECONDS, Person, Suite, running
from tests.ingest.test_sessions import care_for
from tests.support import postgres

pytestmark = pytest.mark.asyncio(loop_scope="module")

PEOPLE = 14
MIDNIGHT = datetime.combine(datetime.now(UTC).date(), time(), UTC)
PERIOD = Period(MIDNIGHT - timedelta(days=6), MIDNIGHT)
VISION, AUDIO, TEXT, ANALYSES, VIDEO = Source
SCORES = {VISION: "distress_score", AUDIO: "stress_score", TEXT: "distress_probability"}
TABLES = {
    VISION: ("vision_predictions", "capture_end_time", "emotion"),
    AUDIO: ("audio_predictions", "capture_end_time", "emotion"),
    TEXT: ("text_predictions", "capture_end_time", "risk_level"),
    ANALYSES: ("analysis_records", "analyzed_at", "predicted_label"),
    VIDEO: ("video_analysis_events", "event_at", "risk_level"),
}

_ANALYSES = """
INSERT INTO analysis_records (id, user_id, input_text, input_text_state, source, predicted_label, confidence,
    model_version, ai_processing_ms, submitted_at, analyzed_at, request_id, receive_time, content_digest)
SELECT id, $1, '', 'not_kept', 'chat', (ARRAY['calm', 'sad', 'rare'])[1 + n % $3::int], 0.5, 'a-' || n % 2,
    n * 7 % 500, $2::timestamptz, $2::timestamptz + n * interval '1 hour', id, now(), ''
FROM (SELECT gen_random_uuid() AS id, n FROM generate_series(1, 30) AS n) AS new
"""
_VIDEO_SESSION = """
INSERT INTO video_sessions (id, user_id, stream_session_id, session_type, client_platform, status, started_at)
VALUES ($1, $2, $3, 'monitoring', 'web', 'ENDED', $4)
"""
_VIDEO_EVENTS = """
INSERT INTO video_analysis_events (id, session_id, user_id, event_at, risk_level, confidence, signals, model_version,
    latency_ms, content_digest)
SELECT gen_random_uuid(), $1, $2, $3::timestamptz + n * interval '7 minutes',
    (ARRAY['low', 'medium', 'high'])[1 + n % 3], 0.75, '[]', 'v-1', n * 13 % 900, '' FROM generate_series(1, 200) AS n
"""


class World(NamedTuple):
    suite: Suite
    stub: AnalyticsServiceStub
    people: list[Person]
    admin: Person
    counselor: Person


class Row(NamedTuple):
    user_id: UUID
    time: datetime
    label: str
    model: str
    confidence: float
    distress: float | None
    latency: int | None


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(postgres_admin_dsn: str, template_database: str) -> AsyncIterator[World]:
    """Fourteen people with rows of all kinds in a week; three of them have labels and a day that nobody else has."""
    dsn = await postgres.create_database(postgres_admin_dsn, template_database)
    database = Database(dsn_for(dsn, slice_role("ingest")), "ingest", 4)
    async with running(database) as suite:
        people = [suite.person(ROLE_USER) for _ in range(PEOPLE)]
        admin, counselor = suite.person(ROLE_ADMIN), suite.counselor()
        for number, person in enumerate(people):
            await _live(suite, person, number)
            await care_for(suite, counselor, person)
        yield World(suite, AnalyticsServiceStub(suite.channel), people, admin, counselor)
    await database.close()
    await postgres.drop_database(postgres_admin_dsn, dsn)


async def _live(suite: Suite, person: Person, number: int) -> None:
    is_rare = number < 3
    # Across the period's start, in the middle, and across its end.
    days = (6, 3, 0) if not is_rare else (6, 4, 3, 0)
    starts = [MIDNIGHT - timedelta(days=day, minutes=number + 5) for day in days]
    sessions = [await person.start_session(start) for start in starts]
    await filling.fill(suite.database, sessions, 240 + number)
    async with suite.database.transaction() as tx:
        await tx.driver.execute(_ANALYSES, person.user_id, starts[0], 3 if is_rare else 2)
        session_id = uuid4()
        await tx.driver.execute(_VIDEO_SESSION, session_id, person.user_id, session_id.hex, starts[1])
        await tx.driver.execute(_VIDEO_EVENTS, session_id, person.user_id, starts[1])
        if is_rare:
            change = "UPDATE {} SET {} WHERE user_id = $1 AND batch_number % 20 = 0"
            await tx.driver.execute(change.format("vision_predictions", "emotion = 'numb'"), person.user_id)
            await tx.driver.execute(change.format("text_predictions", "model_version = 'text-0'"), person.user_id)


async def rows_of(world: World, source: Source, people: list[Person], period: Period = PERIOD) -> list[Row]:
    """Read without any of the store's statements."""
    table, moment, label = TABLES[source]
    latency = {ANALYSES: "ai_processing_ms", VIDEO: "latency_ms"}.get(source, "NULL")
    statement = (
        f"SELECT user_id, {moment}, {label}, model_version, confidence::float8,"  # noqa: S608
        f" {SCORES.get(source, 'NULL')}::float8, {latency} FROM {table}"
    )
    async with world.suite.database.read() as tx:
        rows = [Row(*row) for row in await tx.fetch_all(statement)]
    chosen = {person.user_id for person in people}
    return [row for row in rows if row.user_id in chosen and period.start <= row.time < period.end]


def counts(rows: list[Row], key: Callable[[Row], Any]) -> dict[Any, tuple[int, int]]:
    """Rows and people of each cell."""
    cells: dict[Any, list[Row]] = defaultdict(list)
    for row in rows:
        cells[key(row)].append(row)
    return {cell: (len(found), len({row.user_id for row in found})) for cell, found in cells.items()}


def selection(period: Period = PERIOD, **people: Any) -> contract.Selection:
    return contract.Selection(start_time=to_timestamp(period.start), end_time=to_timestamp(period.end), **people)


def cohort(people: list[Person]) -> contract.Selection:
    return selection(cohort=contract.Cohort(anonymous_ids=[person.anonymous_id for person in people]))


EVERYBODY = selection(everybody=contract.Everybody())


async def refused(call: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call
    return error.value.code(), reason_of(error.value)


async def test_counts_of_a_person_and_of_everybody(world: World) -> None:
    person = world.people[4]
    own = await world.stub.CountRows(contract.CountRowsRequest(selection=selection()), metadata=person.metadata)
    everybody = await world.stub.CountRows(
        contract.CountRowsRequest(selection=EVERYBODY), metadata=world.admin.metadata
    )
    for answer, people in ((own, [person]), (everybody, world.people)):
        for source, basis in zip(Source, answer.counts, strict=True):
            rows = await rows_of(world, source, people)
            assert rows
            assert (basis.source, basis.rows, basis.people) == (source, len(rows), len(people))
            assert (to_datetime(basis.start_time), to_datetime(basis.end_time)) == PERIOD


@pytest.mark.parametrize("source", Source)
async def test_a_persons_distribution_is_that_of_the_rows(world: World, source: Source) -> None:
    person = world.people[0]
    request = contract.GetDistributionRequest(selection=selection(), source=source)

    answer = await world.stub.GetDistribution(request, metadata=person.metadata)

    rows = await rows_of(world, source, [person])
    assert {cell.label: (cell.rows, cell.people) for cell in answer.labels} == counts(rows, lambda row: row.label)
    assert [cell.rows for cell in answer.labels] == sorted((cell.rows for cell in answer.labels), reverse=True)
    assert (answer.basis.rows, answer.basis.people, answer.basis.incomplete) == (len(rows), 1, False)


async def test_of_many_people_a_rare_label_is_hidden_with_the_smallest_other(world: World) -> None:
    for ask, metadata in ((cohort(world.people), world.counselor.metadata), (EVERYBODY, world.admin.metadata)):
        request = contract.GetDistributionRequest(selection=ask, source=VISION)
        answer = await world.stub.GetDistribution(request, metadata=metadata)

        rows = await rows_of(world, VISION, world.people)
        expected = counts(rows, lambda row: row.label)
        assert expected["numb"][1] == 3
        told = {cell.label: (cell.rows, cell.people) for cell in answer.labels}
        assert told.items() < expected.items()
        assert len(expected) - len(told) == 2
        assert "numb" not in told
        assert (answer.basis.rows, answer.basis.people, answer.basis.incomplete) == (len(rows), PEOPLE, True)


@pytest.mark.parametrize("width", [contract.BUCKET_WIDTH_HOUR, contract.BUCKET_WIDTH_DAY, contract.BUCKET_WIDTH_WEEK])
@pytest.mark.parametrize("source", [VISION, AUDIO, TEXT, VIDEO])
async def test_a_persons_risk_over_time_is_that_of_the_rows(world: World, source: Source, width: int) -> None:
    person, zone = world.people[1], ZoneInfo("Africa/Nairobi")
    request = contract.GetRiskOverTimeRequest(
        selection=selection(), source=source, bucket_width=width, timezone=zone.key
    )

    answer = await world.stub.GetRiskOverTime(request, metadata=person.metadata)

    rows = await rows_of(world, source, [person])
    cells: dict[datetime, list[Row]] = defaultdict(list)
    for row in rows:
        cells[max(PERIOD.start, _begin(row.time, width, zone))].append(row)
    assert [to_datetime(bucket.start_time) for bucket in answer.buckets] == sorted(cells)
    for bucket in answer.buckets:
        found = cells[to_datetime(bucket.start_time)]
        assert (bucket.rows, bucket.people) == (len(found), 1)
        levels = counts(found, lambda row: row.label) if source in (TEXT, VIDEO) else {}
        assert {level.label: (level.rows, level.people) for level in bucket.levels} == levels
        order = [("low", "medium", "high", "critical").index(level.label) for level in bucket.levels]
        assert order == sorted(order)
        distress = [row.distress for row in found if row.distress is not None]
        assert bucket.HasField("mean_distress") is bool(distress)
        if distress:
            assert bucket.mean_distress == pytest.approx(fmean(distress), abs=1e-9)
    assert answer.basis.rows == len(rows)


def _begin(moment: datetime, width: int, zone: ZoneInfo) -> datetime:
    local = moment.astimezone(zone).replace(minute=0, second=0, microsecond=0)
    if width != contract.BUCKET_WIDTH_HOUR:
        local = local.replace(hour=0)
    if width == contract.BUCKET_WIDTH_WEEK:
        local -= timedelta(days=local.weekday())
    return local.astimezone(UTC)


async def test_a_day_and_a_level_of_few_people_are_hidden(world: World) -> None:
    request = contract.GetRiskOverTimeRequest(selection=EVERYBODY, source=TEXT, bucket_width=contract.BUCKET_WIDTH_DAY)
    answer = await world.stub.GetRiskOverTime(request, metadata=world.admin.metadata)

    rows = await rows_of(world, TEXT, world.people)
    expected = counts(rows, lambda row: _begin(row.time, contract.BUCKET_WIDTH_DAY, ZoneInfo("UTC")))
    few = [day for day, (_, people) in expected.items() if people < 10]
    told = {to_datetime(bucket.start_time): (bucket.rows, bucket.people) for bucket in answer.buckets}
    assert len(few) == 1
    assert told.items() < expected.items()
    assert len(told) == len(expected) - 2
    assert answer.basis.incomplete
    assert all(level.people >= 10 for bucket in answer.buckets for level in bucket.levels)


@pytest.mark.parametrize("source", [ANALYSES, VIDEO])
async def test_latencies_are_the_percentiles_of_the_rows(world: World, source: Source) -> None:
    for people, ask, metadata in (
        ([world.people[2]], selection(), world.people[2].metadata),
        (world.people, EVERYBODY, world.admin.metadata),
    ):
        request = contract.GetLatencyRequest(selection=ask, source=source)
        answer = await world.stub.GetLatency(request, metadata=metadata)
        latencies = [row.latency for row in await rows_of(world, source, people)]
        assert answer.basis.rows == len(latencies) > 0
        assert answer.mean_milliseconds == pytest.approx(np.mean(latencies))
        assert [each.percent for each in answer.percentiles] == [50, 90, 95, 99]
        expected = np.percentile(latencies, [50, 90, 95, 99])
        assert [each.milliseconds for each in answer.percentiles] == pytest.approx(list(expected))


@pytest.mark.parametrize("source", Source)
async def test_versions_of_a_model_side_by_side(world: World, source: Source) -> None:
    person = world.people[0]
    request = contract.CompareModelsRequest(selection=selection(), source=source)

    answer = await world.stub.CompareModels(request, metadata=person.metadata)

    rows = await rows_of(world, source, [person])
    expected = counts(rows, lambda row: row.model)
    assert {version.model_version: (version.rows, version.people) for version in answer.versions} == expected
    for version in answer.versions:
        mine = [row for row in rows if row.model == version.model_version]
        assert version.mean_confidence == pytest.approx(fmean(row.confidence for row in mine), abs=1e-9)
        distress = [row.distress for row in mine if row.distress is not None]
        assert version.HasField("mean_distress") is bool(distress)
        if distress:
            assert version.mean_distress == pytest.approx(fmean(distress), abs=1e-9)


async def test_a_version_of_few_people_is_hidden(world: World) -> None:
    request = contract.CompareModelsRequest(selection=EVERYBODY, source=TEXT)
    answer = await world.stub.CompareModels(request, metadata=world.admin.metadata)
    assert [version.model_version for version in answer.versions] == []
    assert answer.basis.incomplete


async def test_a_person_without_rows_gets_an_empty_answer(world: World) -> None:
    nobody = world.suite.person(ROLE_USER)
    latency = await world.stub.GetLatency(
        contract.GetLatencyRequest(selection=selection(), source=VIDEO), metadata=nobody.metadata
    )
    assert (latency.basis.rows, latency.HasField("mean_milliseconds"), len(latency.percentiles)) == (0, False, 0)
    risk = await world.stub.GetRiskOverTime(
        contract.GetRiskOverTimeRequest(selection=selection(), source=TEXT, bucket_width=contract.BUCKET_WIDTH_DAY),
        metadata=nobody.metadata,
    )
    assert (risk.basis.rows, len(risk.buckets)) == (0, 0)


async def test_cohorts_under_ten_people_are_refused(world: World) -> None:
    too_small = (grpc.StatusCode.FAILED_PRECONDITION, "COHORT_TOO_SMALL")
    silent = [world.suite.person(ROLE_USER) for _ in range(6)]
    for person in silent:
        await person.start_session(MIDNIGHT - timedelta(days=40))
        await care_for(world.suite, world.counselor, person)
    nine = world.people[:9]
    for people in (nine, [*nine, *nine], [*nine, *silent]):
        asked = cohort(people)
        for method, request in (
            (world.stub.GetDistribution, contract.GetDistributionRequest(selection=asked, source=TEXT)),
            (world.stub.GetLatency, contract.GetLatencyRequest(selection=asked, source=VIDEO)),
            (world.stub.CountRows, contract.CountRowsRequest(selection=asked)),
        ):
            assert await refused(method(request, metadata=world.counselor.metadata)) == too_small
    of_ten = contract.GetDistributionRequest(selection=cohort(world.people[:10]), source=AUDIO)
    answer = await world.stub.GetDistribution(of_ten, metadata=world.counselor.metadata)
    assert answer.basis.people == 10


async def test_whose_rows_one_may_ask_for(world: World) -> None:
    not_yours = (grpc.StatusCode.PERMISSION_DENIED, "NOT_YOUR_PERSON")
    person, other, stranger = world.people[0], world.people[1], world.suite.counselor()
    one = selection(anonymous_id=person.anonymous_id)
    for caller, asked in (
        (other, one),
        (stranger, one),
        (world.admin, one),
        (person, cohort(world.people)),
        (stranger, cohort(world.people)),
        (world.admin, cohort(world.people)),
        (person, EVERYBODY),
        (world.counselor, EVERYBODY),
    ):
        call = world.stub.CountRows(contract.CountRowsRequest(selection=asked), metadata=caller.metadata)
        assert await refused(call) == not_yours


async def test_each_look_of_others_is_audited(world: World) -> None:
    async def audited(user_id: UUID | None) -> int:
        statement = "SELECT count(*) FROM audit_logs WHERE user_id IS NOT DISTINCT FROM :user_id"
        async with world.suite.database.read() as tx:
            count: int = await tx.scalar(statement, {"user_id": user_id})
        return count

    one = selection(anonymous_id=world.people[0].anonymous_id)
    for metadata, asked, people in (
        (world.counselor.metadata, one, world.people[:1]),
        (world.counselor.metadata, cohort(world.people), world.people),
        (world.admin.metadata, EVERYBODY, None),
    ):
        concerned = [person.user_id for person in people] if people else [None]
        before = [await audited(user_id) for user_id in concerned]
        await world.stub.CountRows(contract.CountRowsRequest(selection=asked), metadata=metadata)
        assert [await audited(user_id) for user_id in concerned] == [count + 1 for count in before]


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (
            contract.GetDistributionRequest(selection=selection(Period(MIDNIGHT, MIDNIGHT)), source=TEXT),
            "PERIOD_INVALID",
        ),
        (
            contract.GetDistributionRequest(
                selection=selection(Period(MIDNIGHT - timedelta(days=367), MIDNIGHT)), source=TEXT
            ),
            "PERIOD_INVALID",
        ),
        (contract.GetDistributionRequest(source=TEXT), "INVALID_FIELD"),
        (contract.GetDistributionRequest(selection=selection()), "INVALID_FIELD"),
        (contract.GetDistributionRequest(selection=cohort([]), source=TEXT), "INVALID_FIELD"),
        (contract.GetLatencyRequest(selection=selection(), source=TEXT), "SOURCE_WITHOUT_LATENCY"),
        (
            contract.GetRiskOverTimeRequest(selection=selection(), source=ANALYSES, bucket_width=1),
            "SOURCE_WITHOUT_RISK",
        ),
        (
            contract.GetRiskOverTimeRequest(
                selection=selection(), source=TEXT, bucket_width=1, timezone="Mars/Olympus"
            ),
            "TIMEZONE_UNKNOWN",
        ),
        (
            contract.GetRiskOverTimeRequest(
                selection=selection(Period(MIDNIGHT - timedelta(days=34), MIDNIGHT)), source=TEXT, bucket_width=1
            ),
            "TOO_MANY_BUCKETS",
        ),
    ],
)
async def test_what_can_not_be_answered(world: World, request_: Any, reason: str) -> None:
    method = type(request_).__name__.removesuffix("Request")
    call = getattr(world.stub, method)(request_, metadata=world.people[0].metadata)
    assert await refused(call) == (grpc.StatusCode.INVALID_ARGUMENT, reason)


async def test_periods_of_many_people_are_whole_days(world: World) -> None:
    for period in (
        Period(PERIOD.start + timedelta(seconds=1), PERIOD.end),
        Period(PERIOD.start, PERIOD.end - timedelta(seconds=1)),
    ):
        asked = selection(period, everybody=contract.Everybody())
        call = world.stub.CountRows(contract.CountRowsRequest(selection=asked), metadata=world.admin.metadata)
        assert await refused(call) == (grpc.StatusCode.INVALID_ARGUMENT, "PERIOD_NOT_WHOLE_DAYS")


async def test_more_questions_than_allowed_and_too_large_ones(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    asking, go_on = asyncio.Event(), asyncio.Event()

    async def slow(tx: Any, *_: object) -> object:
        asking.set()
        await go_on.wait()
        return await tx.fetch_one("SELECT pg_sleep(30), 0 AS rows, 0 AS people")

    monkeypatch.setattr(analytics_module.analytics, "latency", slow)
    request = contract.GetLatencyRequest(selection=selection(), source=VIDEO)
    metadata = world.people[0].metadata

    async with running(world.suite.database, analytics_statement_seconds=0.05) as quick:
        stub = AnalyticsServiceStub(quick.channel)
        calls = [
            asyncio.ensure_future(_answer(stub.GetLatency(request, metadata=metadata, timeout=PATIENCE_SECONDS)))
            for _ in range(2)
        ]
        await asking.wait()
        await asyncio.sleep(0.2)
        exhausted = grpc.StatusCode.RESOURCE_EXHAUSTED
        assert await refused(stub.GetLatency(request, metadata=metadata)) == (exhausted, "ANALYTICS_BUSY")
        go_on.set()
        for call in calls:
            assert await refused(call) == (exhausted, "ANALYTICS_TOO_LARGE")


async def _answer(call: Any) -> Any:
    return await call
