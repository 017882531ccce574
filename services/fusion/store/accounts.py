"""What is kept beside results for people to read: dissonance_records and llm_explanations, by (session_id,
chunk_id).
"""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from libs.common.db.database import Transaction
from libs.common.ids import derived_id
from services.fusion.explanation import explain
from services.fusion.facts import facts_key, facts_of
from services.fusion.fold import ChangedResult, ChunkResult, Models
from services.fusion.records import DissonanceRecord, PageKey
from services.fusion.science.dissonance import Finding, stated_emotion
from services.fusion.science.model import FusionModel
from services.fusion.store.result_rows import four_decimals
from services.fusion.store.results import SessionChanges
from services.fusion.vocabulary import Direction, Emotion, Level

RECORD_COLUMNS = (
    "id",
    "user_id",
    "session_id",
    "chunk_id",
    "stated_emotion",
    "actual_emotion",
    "dissonance_score",
    "interpretation",
    "risk_level",
    "detected_at",
    "direction",
    "evidence_chunk_ids",
)
_EXPLANATION_COLUMNS = (
    "id",
    "session_id",
    "user_id",
    "chunk_id",
    "summary",
    "key_signals",
    "recommended_action_level",
    "explanation_confidence",
    "created_at",
    "facts",
)


async def write(tx: Transaction, models: Models, sessions: Sequence[SessionChanges]) -> None:
    """Puts what the results give in the place of what older revisions gave."""
    stored = [
        (session_id, change.result.chunk_id)
        for session_id, _, changes in sessions
        for change in changes
        if change.is_stored
    ]
    records, explanations = [], []
    for session_id, user_id, changes in sessions:
        for change in changes:
            if change.finding is not None:
                model = models.versions[change.result.model_version]
                records.append(record_of(model, session_id, user_id, change.result, change.finding))
            if change.is_explained:
                explanations.append(_explanation(session_id, user_id, change))
    await _replace(tx, "dissonance_records", stored, records, RECORD_COLUMNS)
    await _replace(tx, "llm_explanations", stored, explanations, _EXPLANATION_COLUMNS)


async def _replace(
    tx: Transaction,
    table: str,
    stored: Sequence[tuple[UUID, UUID]],
    rows: Sequence[tuple[Any, ...]],
    columns: Sequence[str],
) -> None:
    if stored:
        await tx.driver.execute(
            f"DELETE FROM {table} r USING unnest($1::uuid[], $2::uuid[]) AS old (session_id, chunk_id)"  # noqa: S608
            " WHERE r.session_id = old.session_id AND r.chunk_id = old.chunk_id",
            [session_id for session_id, _ in stored],
            [chunk_id for _, chunk_id in stored],
        )
    if rows:
        await tx.driver.copy_records_to_table(table, records=rows, columns=columns)


def record_of(
    model: FusionModel, session_id: UUID, user_id: UUID, result: ChunkResult, finding: Finding
) -> tuple[Any, ...]:
    """In the order of RECORD_COLUMNS."""
    fused = result.fused
    assert fused.said_valence is not None
    assert fused.shown_emotion is not None
    return (
        derived_id("dissonance_record", session_id, result.chunk_id),
        user_id,
        session_id,
        result.chunk_id,
        stated_emotion(model.dissonance, fused.said_valence).label,
        fused.shown_emotion.label,
        fused.dissonance_score,
        finding.interpretation,
        finding.level.label,
        result.capture_end_time,
        fused.direction.label,
        finding.evidence,
    )


def _explanation(session_id: UUID, user_id: UUID, change: ChangedResult) -> tuple[Any, ...]:
    result = change.result
    explanation = explain(result.fused, result.state)
    signals = [
        {"code": signal.code, "modality": signal.modality and signal.modality.label, "logit": signal.logit}
        for signal in explanation.key_signals
    ]
    return (
        derived_id("llm_explanation", session_id, result.chunk_id),
        session_id,
        user_id,
        result.chunk_id,
        explanation.summary,
        orjson.dumps(signals).decode(),
        explanation.recommended_action.label,
        four_decimals(explanation.confidence),
        result.capture_end_time,
        facts_key(facts_of(result.fused, result.state)) or None,
    )


async def read_stored_records(
    tx: Transaction, session_id: UUID, after: PageKey, last: PageKey
) -> Mapping[UUID, "asyncpg.Record"]:
    """By chunk: the rows in the order of capture up to `last`, as they stand; by idx_dissonance_records_capture."""
    rows = await tx.driver.fetch(
        "SELECT * FROM dissonance_records WHERE session_id = $1 AND (detected_at, chunk_id) > ($2, $3)"
        " AND (detected_at, chunk_id) <= ($4, $5) ORDER BY detected_at, chunk_id",
        session_id,
        *after,
        *last,
    )
    return {row["chunk_id"]: row for row in rows}


async def read_records(tx: Transaction, session_id: UUID, after: PageKey, limit: int) -> Sequence[DissonanceRecord]:
    """In the order of capture; by idx_dissonance_records_capture."""
    rows = await tx.driver.fetch(
        "SELECT * FROM dissonance_records WHERE session_id = $1 AND (detected_at, chunk_id) > ($2, $3)"
        " ORDER BY detected_at, chunk_id LIMIT $4",
        session_id,
        *after,
        limit,
    )
    return [_record_in(row) for row in rows]


def _record_in(row: "asyncpg.Record") -> DissonanceRecord:
    return DissonanceRecord(
        session_id=row["session_id"],
        chunk_id=row["chunk_id"],
        stated_emotion=Emotion[row["stated_emotion"].upper()],
        actual_emotion=Emotion[row["actual_emotion"].upper()],
        direction=Direction[row["direction"].upper()],
        score=row["dissonance_score"],
        finding=Finding(
            interpretation=row["interpretation"],
            level=Level[row["risk_level"].upper()],
            evidence=tuple(row["evidence_chunk_ids"]),
        ),
        detect_time=row["detected_at"],
    )
