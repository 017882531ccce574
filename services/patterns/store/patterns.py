"""Versions of patterns: every one stays, the newest is current. Columns that no data bear yet stay null."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any
from uuid import UUID

from libs.common.db.database import Transaction
from services.patterns.assessment import Verdict
from services.patterns.levels import Level
from services.patterns.pattern import CurrentState, Pattern, Trajectory, Trigger
from services.patterns.records import PatternRecord
from services.patterns.store.jsonb import as_jsonb

_NOT_CURRENT = "UPDATE user_patterns SET is_current = false WHERE user_id = ANY($1) AND is_current"
_KEEP = """
INSERT INTO user_patterns (pattern_id, user_id, version, generated_at, sessions_analyzed, data_confidence,
    primary_emotions, emotion_distribution, trajectory, trajectory_confidence, variability_score, primary_language,
    code_switching, deflection_phrases, deflection_frequency, triggers, trigger_count, most_severe_trigger,
    current_dissonance, current_risk_level, current_risk_score, current_risk_factors, current_state, is_current)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24)
"""
_CURRENT = "SELECT * FROM user_patterns WHERE user_id = $1 AND is_current"


async def keep(tx: Transaction, records: Sequence[PatternRecord]) -> None:
    """In the order of each person's versions; the last is current from now on."""
    newest = {record.user_id: record.version for record in records}
    await tx.driver.execute(_NOT_CURRENT, list(newest))
    await tx.driver.executemany(_KEEP, [_values(one, one.version == newest[one.user_id]) for one in records])


async def current(tx: Transaction, user_id: UUID) -> PatternRecord | None:
    row = await tx.driver.fetchrow(_CURRENT, user_id)
    return None if row is None else _record(row)


def _values(record: PatternRecord, is_current: bool) -> tuple[object, ...]:
    pattern = record.pattern
    most_severe = max(pattern.triggers, key=lambda trigger: trigger.severity, default=None)
    return (
        record.pattern_id,
        record.user_id,
        record.version,
        record.generate_time,
        pattern.sessions_analyzed,
        pattern.data_confidence,
        pattern.primary_emotions,
        as_jsonb(pattern.emotions),
        pattern.trajectory.value,
        pattern.trajectory_confidence,
        pattern.variability,
        pattern.primary_language or None,
        pattern.code_switching,
        pattern.deflection_phrases,
        pattern.deflection_frequency,
        as_jsonb([asdict(trigger) for trigger in pattern.triggers]),
        len(pattern.triggers),
        most_severe and most_severe.topic,
        as_jsonb({"share": pattern.masking_share, "strength": pattern.masking_strength}),
        pattern.current.level.word,
        pattern.current.score,
        pattern.current.risk_factors,
        pattern.state.value,
        is_current,
    )


def _record(row: Mapping[str, Any]) -> PatternRecord:
    emotions = row["emotion_distribution"]
    masking = row["current_dissonance"]
    return PatternRecord(
        user_id=row["user_id"],
        version=row["version"],
        generate_time=row["generated_at"],
        pattern=Pattern(
            sessions_analyzed=row["sessions_analyzed"],
            data_confidence=row["data_confidence"],
            primary_emotions=tuple(row["primary_emotions"]),
            emotions={name: emotions[name] for name in sorted(emotions)},
            trajectory=Trajectory(row["trajectory"]),
            trajectory_confidence=row["trajectory_confidence"],
            variability=row["variability_score"],
            primary_language=row["primary_language"] or "",
            code_switching=row["code_switching"],
            deflection_phrases=tuple(row["deflection_phrases"]),
            deflection_frequency=row["deflection_frequency"],
            triggers=tuple(Trigger(**trigger) for trigger in row["triggers"]),
            masking_share=masking["share"],
            masking_strength=masking["strength"],
            current=Verdict(
                level=Level.of(row["current_risk_level"]),
                score=row["current_risk_score"],
                risk_factors=tuple(row["current_risk_factors"]),
            ),
            state=CurrentState(row["current_state"]),
        ),
    )
