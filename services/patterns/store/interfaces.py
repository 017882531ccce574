"""Interfaces and their changes: every one stays, the newest is current."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from libs.common.db.database import Transaction
from services.patterns.changes import Change
from services.patterns.records import ChangeRecord, InterfaceRecord
from services.patterns.store.standings import structure_in

_NOT_CURRENT = "UPDATE interface_configs SET is_current = false WHERE user_id = ANY($1) AND is_current"
_KEEP = """
INSERT INTO interface_configs (config_id, user_id, pattern_id, number, version, generated_at, ui_config_encrypted,
    theme, primary_components, hidden_components, crisis_prominence, rule_ids, deployed, deployed_at, is_current)
VALUES ($1, $2, $3, $4, $5, $6, '', $7, $8, $9, $10, $11, true, $6, $12)
"""
_CHANGE_COLUMNS = (
    "change_id",
    "user_id",
    "config_id",
    "change_type",
    "component_affected",
    "reason",
    "created_at",
    "shown_to_user",
    "user_acknowledged",
)
_CURRENT = "SELECT * FROM interface_configs WHERE user_id = $1 AND is_current"
# By (user_id, created_at DESC).
_CHANGES = """
SELECT * FROM interface_changes
WHERE user_id = $1 AND ($2::timestamptz IS NULL OR (created_at, change_id) < ($2, $3))
ORDER BY created_at DESC, change_id DESC LIMIT $4
"""


async def keep(tx: Transaction, interfaces: Sequence[InterfaceRecord], changes: Sequence[ChangeRecord]) -> None:
    """In the order of each person's numbers; the last is current from now on."""
    newest = {interface.user_id: interface.number for interface in interfaces}
    await tx.driver.execute(_NOT_CURRENT, list(newest))
    await tx.driver.executemany(_KEEP, [_values(one, one.number == newest[one.user_id]) for one in interfaces])
    await tx.driver.copy_records_to_table(
        "interface_changes", columns=_CHANGE_COLUMNS, records=[_change_values(change) for change in changes]
    )


async def current(tx: Transaction, user_id: UUID) -> InterfaceRecord | None:
    row = await tx.driver.fetchrow(_CURRENT, user_id)
    return None if row is None else interface_in(row)


async def changes(
    tx: Transaction, user_id: UUID, before: tuple[datetime, UUID] | None, limit: int
) -> list[ChangeRecord]:
    """The newest first, from before (change_time, change_id) on."""
    return [_change(row) for row in await tx.driver.fetch(_CHANGES, user_id, *(before or (None, None)), limit)]


def interface_in(row: Mapping[str, Any]) -> InterfaceRecord:
    return InterfaceRecord(
        user_id=row["user_id"],
        number=row["number"],
        pattern_id=row["pattern_id"],
        version=row["version"],
        structure=structure_in(row),
        generate_time=row["generated_at"],
    )


def _values(record: InterfaceRecord, is_current: bool) -> tuple[object, ...]:
    structure = record.structure
    return (
        record.config_id,
        record.user_id,
        record.pattern_id,
        record.number,
        record.version,
        record.generate_time,
        structure.theme.value,
        structure.primary_components,
        structure.hidden_components,
        structure.crisis_prominence.word,
        structure.rule_ids,
        is_current,
    )


def _change_values(record: ChangeRecord) -> tuple[object, ...]:
    change = record.change
    return (
        record.change_id,
        record.user_id,
        record.config_id,
        change.change_type,
        change.component,
        change.reason,
        record.change_time,
        False,
        False,
    )


def _change(row: Mapping[str, Any]) -> ChangeRecord:
    return ChangeRecord(
        user_id=row["user_id"],
        config_id=row["config_id"],
        change=Change(row["change_type"], row["component_affected"], row["reason"]),
        change_time=row["created_at"],
    )
