"""Where people stand before a fold: the newest assessments, pattern and interface."""

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from libs.common.db.database import Transaction
from services.patterns.assessment import Verdict
from services.patterns.interface import Prominence, Structure, Theme
from services.patterns.levels import Level
from services.patterns.person import Standing

_STANDINGS = """
SELECT session_id, revision, risk_level, risk_score, risk_factors, highest_level FROM risk_assessments
WHERE session_id = ANY($1)
"""
_PATTERN_VERSIONS = "SELECT user_id, version FROM user_patterns WHERE user_id = ANY($1) AND is_current"
_INTERFACES = "SELECT * FROM interface_configs WHERE user_id = ANY($1) AND is_current"


async def of_sessions(tx: Transaction, session_ids: Iterable[UUID]) -> dict[UUID, Standing]:
    """Of those that were assessed."""
    return {
        row["session_id"]: Standing(row["revision"], verdict_in(row), Level.of(row["highest_level"]))
        for row in await tx.driver.fetch(_STANDINGS, list(session_ids))
    }


async def pattern_versions(tx: Transaction, user_ids: Iterable[UUID]) -> dict[UUID, int]:
    """Of those who have a pattern."""
    return dict(await tx.driver.fetch(_PATTERN_VERSIONS, list(user_ids)))


async def interfaces(tx: Transaction, user_ids: Iterable[UUID]) -> dict[UUID, tuple[int, Structure]]:
    """Number and structure of those who have one."""
    rows = await tx.driver.fetch(_INTERFACES, list(user_ids))
    return {row["user_id"]: (row["number"], structure_in(row)) for row in rows}


def verdict_in(row: Mapping[str, Any]) -> Verdict:
    return Verdict(Level.of(row["risk_level"]), row["risk_score"], tuple(row["risk_factors"]))


def structure_in(row: Mapping[str, Any]) -> Structure:
    return Structure(
        theme=Theme(row["theme"]),
        primary_components=tuple(row["primary_components"]),
        hidden_components=tuple(row["hidden_components"]),
        crisis_prominence=Prominence.of(row["crisis_prominence"]),
        rule_ids=tuple(row["rule_ids"]),
    )
