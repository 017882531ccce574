"""Rows as they are stored against the same rows as they come out again, bit by bit."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import IntEnum
from typing import Any
from uuid import UUID

from services.fusion.science.arithmetic import ARITHMETIC

# How far numbers of another platform or numpy may be apart: of their size, or absolutely below 1.
ROUNDING = 1e-12
_NO_ROW = "no row"


class ReplayedRow(IntEnum):
    """The contract's numbers."""

    RESULT = 1
    DISSONANCE_RECORD = 2
    SESSION_STATE = 3
    MISSING_RESULT = 4


@dataclass(frozen=True, slots=True)
class ReplayedValue:
    name: str
    stored: str
    replayed: str


@dataclass(frozen=True, slots=True)
class Difference:
    row: ReplayedRow
    chunk_id: UUID | None
    values: Sequence[ReplayedValue]
    rounding_only: bool
    stored_arithmetic: str


@dataclass(frozen=True, slots=True)
class Part:
    """Some chunks of a session that follow one another, fused again."""

    chunks: int
    total_chunks: int
    differences: Sequence[Difference]
    last: tuple[datetime, UUID] | None  # the place of the last chunk; None when the session's end is reached


def difference(
    row: ReplayedRow,
    chunk_id: UUID | None,
    stored: Mapping[str, Any] | None,
    replayed: Mapping[str, Any] | None,
    stored_arithmetic: str = "",
) -> Difference | None:
    """None when every value of `replayed` has the same bits in `stored`; None for a row means that there is none."""
    if stored is None or replayed is None:
        if stored is replayed:
            return None
        sides = (_NO_ROW if side is None else "a row" for side in (stored, replayed))
        return Difference(row, chunk_id, [ReplayedValue("row", *sides)], False, stored_arithmetic)
    differing = [name for name in replayed if spelled(stored[name]) != spelled(replayed[name])]
    if not differing:
        return None
    rounding_only = stored_arithmetic not in ("", ARITHMETIC) and all(
        _is_rounding(stored[name], replayed[name]) for name in differing
    )
    values = [ReplayedValue(name, spelled(stored[name]), spelled(replayed[name])) for name in differing]
    return Difference(row, chunk_id, values, rounding_only, stored_arithmetic)


def missing_result(chunk_id: UUID) -> Difference:
    return Difference(
        ReplayedRow.MISSING_RESULT, chunk_id, [ReplayedValue("row", _NO_ROW, "a row")], False, stored_arithmetic=""
    )


def spelled(value: Any) -> str:
    """Two values are spelled the same when they have the same bits: Python writes a float with as many digits as its
    bits need.
    """
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(spelled, value))}]"
    return str(value)


def _is_rounding(stored: Any, replayed: Any) -> bool:
    if isinstance(stored, float) and isinstance(replayed, float):
        return math.isclose(stored, replayed, rel_tol=ROUNDING, abs_tol=ROUNDING)
    # A column of four decimals may go either way.
    return isinstance(stored, Decimal) and isinstance(replayed, Decimal) and abs(stored - replayed) <= Decimal("0.0001")
