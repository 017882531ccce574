"""quietus.ingest.v1.AnalyticsService."""

from collections.abc import Sequence

from libs.common.db.database import AnyRow
from libs.common.rpc.call import ServicerContext
from libs.common.rpc.caller import current_caller
from libs.common.timestamps import to_datetime, to_timestamp
from quietus.ingest.v1 import analytics_pb2, analytics_pb2_grpc
from services.ingest import analytics
from services.ingest.analytics import PERCENTS, Asked, Everybody, Period, Source, Width
from services.ingest.service.analytics import Analytics, Bucket, Question


class AnalyticsServicer(analytics_pb2_grpc.AnalyticsServiceServicer):
    def __init__(self, analytics: Analytics) -> None:
        self._analytics = analytics

    async def CountRows(
        self, request: analytics_pb2.CountRowsRequest, context: ServicerContext
    ) -> analytics_pb2.CountRowsResponse:
        counts = await self._analytics.count(_question(request.selection))
        return analytics_pb2.CountRowsResponse(counts=map(_basis, counts))

    async def GetDistribution(
        self, request: analytics_pb2.GetDistributionRequest, context: ServicerContext
    ) -> analytics_pb2.GetDistributionResponse:
        basis, cells = await self._analytics.distribution(_question(request.selection), Source(request.source))
        return analytics_pb2.GetDistributionResponse(basis=_basis(basis), labels=_labels(cells))

    async def GetRiskOverTime(
        self, request: analytics_pb2.GetRiskOverTimeRequest, context: ServicerContext
    ) -> analytics_pb2.GetRiskOverTimeResponse:
        source, width = Source(request.source), Width(request.bucket_width)
        basis, buckets = await self._analytics.risk(_question(request.selection), source, width, request.timezone)
        return analytics_pb2.GetRiskOverTimeResponse(basis=_basis(basis), buckets=map(_bucket, buckets))

    async def GetLatency(
        self, request: analytics_pb2.GetLatencyRequest, context: ServicerContext
    ) -> analytics_pb2.GetLatencyResponse:
        basis, row = await self._analytics.latency(_question(request.selection), Source(request.source))
        percentiles = [
            analytics_pb2.Percentile(percent=percent, milliseconds=milliseconds)
            for percent, milliseconds in zip(PERCENTS, row.percentiles or (), strict=bool(row.percentiles))
        ]
        return analytics_pb2.GetLatencyResponse(
            basis=_basis(basis), mean_milliseconds=row.mean, percentiles=percentiles
        )

    async def CompareModels(
        self, request: analytics_pb2.CompareModelsRequest, context: ServicerContext
    ) -> analytics_pb2.CompareModelsResponse:
        basis, cells = await self._analytics.models(_question(request.selection), Source(request.source))
        versions = [
            analytics_pb2.ModelVersion(
                model_version=cell.label,
                rows=cell.rows,
                people=cell.people,
                mean_confidence=cell.mean_confidence,
                mean_distress=cell.mean_distress,
            )
            for cell in cells
        ]
        return analytics_pb2.CompareModelsResponse(basis=_basis(basis), versions=versions)


def _question(selection: analytics_pb2.Selection) -> Question:
    period = Period(to_datetime(selection.start_time), to_datetime(selection.end_time))
    return Question(current_caller(), _asked(selection), period)


def _asked(selection: analytics_pb2.Selection) -> Asked:
    match selection.WhichOneof("people"):
        case "cohort":
            return frozenset(selection.cohort.anonymous_ids)
        case "everybody":
            return Everybody.EVERYBODY
        case _:
            return selection.anonymous_id


def _basis(basis: analytics.Basis) -> analytics_pb2.Basis:
    return analytics_pb2.Basis(
        source=analytics_pb2.AnalyticsSource.ValueType(basis.source),
        rows=basis.rows,
        people=basis.people,
        start_time=to_timestamp(basis.period.start),
        end_time=to_timestamp(basis.period.end),
        incomplete=basis.incomplete,
    )


def _labels(cells: Sequence[AnyRow]) -> list[analytics_pb2.LabelCount]:
    return [analytics_pb2.LabelCount(label=cell.label, rows=cell.rows, people=cell.people) for cell in cells]


def _bucket(bucket: Bucket) -> analytics_pb2.RiskBucket:
    return analytics_pb2.RiskBucket(
        start_time=to_timestamp(bucket.start),
        rows=bucket.total.rows,
        people=bucket.people,
        mean_distress=bucket.total.mean_distress,
        levels=_labels(bucket.levels),
    )
