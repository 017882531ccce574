"""Analytics: each statement reads rows, never sums of an earlier answer.

Predictions have no index by person or time, which would cost what comes in. They are reached from their sessions, found
by idx_sessions_user_id or idx_sessions_started_at, by the unique key (session_id, chunk_id) in the session's partition:
for each session a look-up, whatever the planner believes of sizes. The others have an index by person and time
(idx_analysis_records_user_id, idx_video_analysis_events_user_id) and one by time.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy.exc import DBAPIError

from libs.common.db.database import AnyRow, Transaction
from services.ingest.analytics import CELLS_MAX, PERCENTS, Group, Period, Source

# A session's windows end between a day before its start and 24 hours after it.
WINDOW_BEFORE = timedelta(days=1)
WINDOW_AFTER = timedelta(days=1)
_CANCELED = "57014"


class TooLongError(Exception):
    """The database took longer than a question may."""


@dataclass(frozen=True, slots=True)
class _Table:
    """`time` places a row, `label` is what a distribution counts."""

    name: str
    time: str
    label: str
    distress: str = "NULL::numeric"
    latency: str = "NULL"
    has_session: bool = True


TABLES: Final = {
    Source.VISION: _Table("vision_predictions", "capture_end_time", "emotion", "distress_score"),
    Source.AUDIO: _Table("audio_predictions", "capture_end_time", "emotion", "stress_score"),
    Source.TEXT: _Table("text_predictions", "capture_end_time", "risk_level", "distress_probability"),
    Source.ANALYSES: _Table(
        "analysis_records", "analyzed_at", "predicted_label", latency="ai_processing_ms", has_session=False
    ),
    Source.VIDEO: _Table("video_analysis_events", "event_at", "risk_level", latency="latency_ms", has_session=False),
}


@asynccontextmanager
async def at_most(tx: Transaction, seconds: float) -> AsyncIterator[None]:
    """Each statement inside. Raises TooLongError."""
    await tx.execute(
        "SELECT set_config('statement_timeout', :milliseconds, true)", {"milliseconds": f"{seconds * 1000:.0f}"}
    )
    try:
        yield
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) == _CANCELED:
            raise TooLongError from error
        raise


async def totals(tx: Transaction, source: Source, group: Group, period: Period) -> AnyRow:
    """rows, people."""
    statement = totals_statement(source, group)
    row = await tx.fetch_one(statement, parameters(group, period))
    assert row is not None
    return row


async def distribution(tx: Transaction, source: Source, group: Group, period: Period) -> Sequence[AnyRow]:
    """label, rows, people; first of all rows together. Then most rows first, one cell more than CELLS_MAX."""
    return await tx.fetch_all(distribution_statement(source, group), parameters(group, period))


async def models(tx: Transaction, source: Source, group: Group, period: Period) -> Sequence[AnyRow]:
    """As distribution, by model version, and mean_confidence, mean_distress."""
    return await tx.fetch_all(models_statement(source, group), parameters(group, period))


async def risk(tx: Transaction, source: Source, group: Group, period: Period, edges: Sequence[Any]) -> Sequence[AnyRow]:
    """bucket, label, rows, people, mean_distress. Without bucket: all rows; without label: the bucket's.

    `edges` are where buckets begin; the first is number 1.
    """
    return await tx.fetch_all(risk_statement(source, group), {**parameters(group, period), "edges": list(edges)})


async def latency(tx: Transaction, source: Source, group: Group, period: Period) -> AnyRow:
    """rows, people, mean, percentiles at PERCENTS."""
    row = await tx.fetch_one(latency_statement(source, group), parameters(group, period))
    assert row is not None
    return row


def totals_statement(source: Source, group: Group) -> str:
    return f"""
SELECT coalesce(sum(rows), 0)::bigint AS rows, count(DISTINCT user_id) AS people FROM ({_counted(source, group)}) AS c
"""  # noqa: S608 - names of ours, here and below


def distribution_statement(source: Source, group: Group) -> str:
    return _by_cell(source, group, TABLES[source].label)


def models_statement(source: Source, group: Group) -> str:
    return _by_cell(source, group, "model_version")


def risk_statement(source: Source, group: Group) -> str:
    bucket = f"width_bucket({TABLES[source].time}, CAST(:edges AS timestamptz[]))"
    if not source.has_levels:
        return f"""
SELECT bucket, NULL AS label, {_SUMS} FROM ({_counted(source, group, {"bucket": bucket})}) AS c
GROUP BY GROUPING SETS ((), (bucket)) ORDER BY bucket
"""  # noqa: S608
    cells = {"bucket": bucket, "label": TABLES[source].label}
    return f"""
SELECT bucket, label, {_SUMS} FROM ({_counted(source, group, cells)}) AS c
GROUP BY GROUPING SETS ((), (bucket), (bucket, label)) ORDER BY bucket
"""  # noqa: S608


def latency_statement(source: Source, group: Group) -> str:
    table = TABLES[source]
    percentiles = ", ".join(str(percent / 100) for percent in PERCENTS)
    return f"""
SELECT count(*) AS rows, count(DISTINCT user_id) AS people, avg({table.latency})::float8 AS mean,
       percentile_cont(ARRAY[{percentiles}]) WITHIN GROUP (ORDER BY {table.latency}) AS percentiles
FROM {table.name} WHERE {_in_period(table.time)}{_of_people(group)}
"""  # noqa: S608


_SUMS: Final = """coalesce(sum(rows), 0)::bigint AS rows, count(DISTINCT user_id) AS people,
       (sum(confidence) / sum(rows))::float8 AS mean_confidence, (sum(distress) / sum(rows))::float8 AS mean_distress"""


def _by_cell(source: Source, group: Group, cell: str) -> str:
    return f"""
SELECT label, {_SUMS} FROM ({_counted(source, group, {"label": cell})}) AS c
GROUP BY GROUPING SETS ((), (label)) ORDER BY GROUPING(label) DESC, rows DESC, label LIMIT {CELLS_MAX + 2}
"""  # noqa: S608


def _counted(source: Source, group: Group, cells: Mapping[str, str] | None = None) -> str:
    """Sums by person, or session of a person, and cell."""
    table = TABLES[source]
    cells = cells or {}
    chosen = "".join(f"{expression} AS {name}, " for name, expression in cells.items())
    sums = f"count(*) AS rows, sum(confidence) AS confidence, sum({table.distress}) AS distress"
    inside = _in_period(table.time)
    if not table.has_session:
        grouped = ", ".join(("user_id", *cells))
        return f"SELECT user_id, {chosen}{sums} FROM {table.name} WHERE {inside}{_of_people(group)} GROUP BY {grouped}"  # noqa: S608
    grouped = f" GROUP BY {', '.join(cells)}" if cells else " HAVING count(*) > 0"
    # Chosen apart: else a wish for some order may have it read all sessions in that order.
    return f"""
WITH s AS MATERIALIZED (
    SELECT id, user_id FROM sessions
    WHERE started_at >= :sessions_from AND started_at < :sessions_before{_of_people(group)}
)
SELECT s.user_id, p.* FROM s CROSS JOIN LATERAL (
    SELECT {chosen}{sums} FROM {table.name} WHERE session_id = s.id AND {inside}{grouped}
) AS p
"""  # noqa: S608


def _in_period(time: str) -> str:
    return f"{time} >= :start AND {time} < :end"


def _of_people(group: Group) -> str:
    return "" if group.user_ids is None else " AND user_id = ANY(:people)"


def parameters(group: Group, period: Period) -> dict[str, Any]:
    """Of all statements; each uses some."""
    people: Sequence[UUID] = list(group.user_ids or ())
    return {
        "start": period.start,
        "end": period.end,
        "sessions_from": period.start - WINDOW_AFTER,
        "sessions_before": period.end + WINDOW_BEFORE,
        "people": people,
    }
