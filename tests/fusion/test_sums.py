"""A sum is that of a loop, bit by bit, for one row and for the same row among others."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from services.fusion.science.sums import in_order

NUMBERS = st.floats(-1e6, 1e6) | st.just(-0.0) | st.just(float("nan"))
ROWS = st.integers(1, 12).flatmap(lambda m: st.lists(st.lists(NUMBERS, min_size=m, max_size=m), min_size=1, max_size=9))


def looped(row: list[float]) -> float:
    total = 0.0
    for number in row:
        total = total + number
    return total


@given(ROWS)
def test_rows_are_added_up_from_the_first_to_the_last(rows: list[list[float]]) -> None:
    expected = np.array([looped(row) for row in rows])
    assert in_order(np.array(rows)).tobytes() == expected.tobytes()
