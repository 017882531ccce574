"""Assessments with their deviations, and baselines: the newest of each replaces the one before."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from libs.common.db.database import Transaction
from libs.common.ids import derived_id
from services.patterns.assessment import Assessment, Contributions
from services.patterns.baseline import Baseline, Deviation
from services.patterns.levels import Level
from services.patterns.records import AssessmentRecord
from services.patterns.store.jsonb import as_jsonb
from services.patterns.store.standings import verdict_in

_KEEP = """
INSERT INTO risk_assessments (id, user_id, session_id, revision, chunk_id, risk_score, risk_level, highest_level,
    risk_factors, fusion_contribution, dissonance_contribution, baseline_deviation_contribution, pattern_contribution,
    logit, warming_up, baseline_sessions, method_version, assessed_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)
ON CONFLICT (session_id) DO UPDATE SET revision = excluded.revision, chunk_id = excluded.chunk_id,
    risk_score = excluded.risk_score, risk_level = excluded.risk_level, highest_level = excluded.highest_level,
    risk_factors = excluded.risk_factors, fusion_contribution = excluded.fusion_contribution,
    dissonance_contribution = excluded.dissonance_contribution,
    baseline_deviation_contribution = excluded.baseline_deviation_contribution,
    pattern_contribution = excluded.pattern_contribution, logit = excluded.logit, warming_up = excluded.warming_up,
    baseline_sessions = excluded.baseline_sessions, method_version = excluded.method_version,
    assessed_at = excluded.assessed_at
"""
_TOLD = "UPDATE session_inputs SET told_receive_time = $2 WHERE session_id = $1"
_FORGET_DEVIATIONS = "DELETE FROM session_deviations WHERE session_id = ANY($1)"
_DEVIATION_COLUMNS = (
    "id",
    "user_id",
    "session_id",
    "deviation_type",
    "baseline_value",
    "current_value",
    "deviation_score",
    "detected_at",
)
# What was once established stays so from then on.
_KEEP_BASELINE = """
INSERT INTO user_baselines (id, user_id, baseline_type, baseline_value, session_count, established_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (user_id, baseline_type) DO UPDATE SET baseline_value = excluded.baseline_value,
    session_count = excluded.session_count, updated_at = excluded.updated_at,
    established_at = coalesce(user_baselines.established_at, excluded.established_at)
"""
_BASELINES = "SELECT * FROM user_baselines WHERE user_id = $1 ORDER BY baseline_type"
# By (user_id, session_id DESC).
_PAGE = """
SELECT * FROM risk_assessments WHERE user_id = $1 AND ($2::uuid IS NULL OR session_id < $2)
ORDER BY session_id DESC LIMIT $3
"""
_DEVIATIONS = "SELECT * FROM session_deviations WHERE session_id = ANY($1)"


async def keep(tx: Transaction, records: Sequence[tuple[AssessmentRecord, datetime]]) -> None:
    """With the receive time of what led to each."""
    session_ids = [record.session_id for record, _ in records]
    await tx.driver.executemany(_KEEP, [_values(record) for record, _ in records])
    await tx.driver.executemany(_TOLD, [(record.session_id, received) for record, received in records])
    await tx.driver.execute(_FORGET_DEVIATIONS, session_ids)
    await tx.driver.copy_records_to_table(
        "session_deviations",
        columns=_DEVIATION_COLUMNS,
        records=[
            _deviation_values(record, deviation) for record, _ in records for deviation in record.assessment.deviations
        ],
    )


async def keep_baselines(
    tx: Transaction, user_id: UUID, baselines: Iterable[Baseline], established: Mapping[str, datetime]
) -> None:
    """`established`: since when, by feature; of those that never were there is none."""
    rows = [_baseline_values(user_id, baseline, established.get(baseline.feature)) for baseline in baselines]
    await tx.driver.executemany(_KEEP_BASELINE, rows)


async def baselines(tx: Transaction, user_id: UUID) -> list[Baseline]:
    """By feature."""
    return [_baseline(row) for row in await tx.driver.fetch(_BASELINES, user_id)]


async def page(tx: Transaction, user_id: UUID, before: UUID | None, limit: int) -> list[AssessmentRecord]:
    """The newest sessions first, from before a session on."""
    return await with_deviations(tx, await tx.driver.fetch(_PAGE, user_id, before, limit))


async def with_deviations(tx: Transaction, rows: Sequence[Mapping[str, Any]]) -> list[AssessmentRecord]:
    """Records of rows of risk_assessments, in their order."""
    found: dict[UUID, list[Deviation]] = {row["session_id"]: [] for row in rows}
    for row in await tx.driver.fetch(_DEVIATIONS, list(found)):
        found[row["session_id"]].append(_deviation(row))
    return [_record(row, found[row["session_id"]]) for row in rows]


def _values(record: AssessmentRecord) -> tuple[object, ...]:
    assessment = record.assessment
    parts = assessment.contributions
    return (
        derived_id("assessment", record.session_id),
        record.user_id,
        record.session_id,
        record.revision,
        record.chunk_id,
        assessment.verdict.score,
        assessment.verdict.level.word,
        record.highest_level.word,
        as_jsonb(assessment.verdict.risk_factors),
        parts.fusion,
        parts.dissonance,
        parts.baseline_deviation,
        parts.pattern,
        parts.logit,
        assessment.warming_up,
        assessment.baseline_sessions,
        assessment.method_version,
        record.assess_time,
    )


def _record(row: Mapping[str, Any], deviations: Iterable[Deviation]) -> AssessmentRecord:
    return AssessmentRecord(
        user_id=row["user_id"],
        session_id=row["session_id"],
        revision=row["revision"],
        assessment=Assessment(
            verdict=verdict_in(row),
            contributions=Contributions(
                fusion=row["fusion_contribution"],
                dissonance=row["dissonance_contribution"],
                baseline_deviation=row["baseline_deviation_contribution"],
                pattern=row["pattern_contribution"],
            ),
            deviations=tuple(sorted(deviations, key=lambda deviation: deviation.order)),
            warming_up=row["warming_up"],
            baseline_sessions=row["baseline_sessions"],
            method_version=row["method_version"],
        ),
        highest_level=Level.of(row["highest_level"]),
        chunk_id=row["chunk_id"],
        assess_time=row["assessed_at"],
    )


def _deviation_values(record: AssessmentRecord, deviation: Deviation) -> tuple[object, ...]:
    baseline = {"median": deviation.median, "scaled_mad": deviation.scaled_mad}
    return (
        derived_id("deviation", record.session_id, deviation.feature),
        record.user_id,
        record.session_id,
        deviation.feature,
        as_jsonb(baseline),
        as_jsonb(deviation.value),
        deviation.robust_z,
        record.assess_time,
    )


def _deviation(row: Mapping[str, Any]) -> Deviation:
    baseline = row["baseline_value"]
    return Deviation(
        feature=row["deviation_type"],
        value=row["current_value"],
        median=baseline["median"],
        scaled_mad=baseline["scaled_mad"],
        robust_z=row["deviation_score"],
    )


def _baseline_values(user_id: UUID, baseline: Baseline, establish_time: datetime | None) -> tuple[object, ...]:
    value = {"median": baseline.median, "scaled_mad": baseline.scaled_mad, "established": baseline.established}
    return (
        derived_id("baseline", user_id, baseline.feature),
        user_id,
        baseline.feature,
        as_jsonb(value),
        baseline.sessions,
        establish_time,
        baseline.update_time,
    )


def _baseline(row: Mapping[str, Any]) -> Baseline:
    return Baseline(
        feature=row["baseline_type"],
        sessions=row["session_count"],
        update_time=row["updated_at"],
        **row["baseline_value"],
    )
