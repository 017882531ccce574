"""Bits that differ, and rounding that may."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.fusion.differences import ReplayedRow, difference, spelled
from services.fusion.science.arithmetic import ARITHMETIC

CHUNK_ID = UUID(int=7)
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def compared(stored: Any, replayed: Any, arithmetic: str = "1.0.0 elsewhere") -> Any:
    return difference(ReplayedRow.RESULT, CHUNK_ID, {"value": stored}, {"value": replayed}, arithmetic)


@given(st.floats(), st.floats())
def test_floats_are_spelled_the_same_when_their_bits_are(one: float, other: float) -> None:
    same_bits = one.hex() == other.hex()
    assert (spelled(one) == spelled(other)) == same_bits


def test_a_zero_has_a_sign_and_a_moment_no_zone() -> None:
    assert spelled(0.0) != spelled(-0.0)
    assert spelled(NOON) == spelled(NOON.astimezone(timezone(timedelta(hours=2))))
    assert spelled([1.0, None]) == spelled((1.0, None)) != spelled([None, 1.0])


@pytest.mark.parametrize(
    ("stored", "replayed", "is_rounding"),
    [
        (0.5, 0.5 + 9e-13, True),
        (0.5, 0.5 + 1.1e-12, False),
        (-40.0, -40.0 - 3e-11, True),
        (Decimal("0.1234"), Decimal("0.1235"), True),
        (Decimal("0.1234"), Decimal("0.1236"), False),
        ("low", "medium", False),
        (None, 0.0, False),
    ],
)
def test_only_numbers_that_are_close_may_differ_and_only_elsewhere(
    stored: Any, replayed: Any, is_rounding: bool
) -> None:
    assert compared(stored, replayed).rounding_only == is_rounding
    assert not compared(stored, replayed, ARITHMETIC).rounding_only
    assert not compared(stored, replayed, "").rounding_only


def test_a_row_that_lacks_differs_and_two_that_lack_dont() -> None:
    missing = difference(ReplayedRow.RESULT, CHUNK_ID, None, {"value": 1.0}, "1.0.0 elsewhere")
    assert missing is not None
    assert not missing.rounding_only
    assert difference(ReplayedRow.RESULT, CHUNK_ID, None, None) is None
