"""AnalyticsService over a real channel, compared with what the tables hold."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from statistics import fmean
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import grpc
import numpy as np
import pytest
import pytest_asyncio

from libs.common.rpc.errors import reason_of
from libs.common.timestamps import to_datetime
from quietus.common.v1.options_pb2 import ROLE_USER
from quietus.ingest.v1 import analytics_pb2 as contract
from quietus.ingest.v1.analytics_pb2_grpc import AnalyticsServiceStub
from services.ingest.analytics import Period, Source
from services.ingest.service import analytics as analytics_module
from tests.ingest.analytics_world import (
    ANALYSES,
    AUDIO,
    EVERYBODY,
    MIDNIGHT,
    PEOPLE,
    PERIOD,
    TEXT,
    VIDEO,
    VISION,
    Row,
    World,
    cohort,
    counts,
    populated,
    rows_of,
    selection,
)
from tests.ingest.suite import PATIENCE_SECONDS, running
from tests.ingest.test_sessions import care_for

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(postgres_admin_dsn: str, template_database: str) -> AsyncIterator[World]:
    async with populated(postgres_admin_dsn, template_database) as world:
        yield world


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
