"""Fields are what Postgres takes them for."""

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from libs.common.byte_rows import ByteRows
from libs.common.db.copying import add_fields, boolean, copy_rows, double, numeric, timestamp, words
from libs.common.db.database import Database
from tests.conftest import MakeDatabase

COLUMNS = ("word", "truth", "number", "moment", "score")
BEFORE_2000 = datetime(1999, 12, 31, 23, 59, 59, 999_999, UTC)
VALUES: list[tuple[Any, ...]] = [
    ("é" * 32, True, 0.1, datetime(2026, 3, 1, 8, 0, 0, 1, UTC), Decimal("0.0001")),
    ("", False, -0.0, BEFORE_2000, Decimal("-0.9999")),
    (None, None, None, None, Decimal(1)),
    ("a", None, 1e-300, BEFORE_2000, Decimal(-1)),
    ("a", None, 1e300, BEFORE_2000, Decimal(0)),
]


def packed(values: tuple[Any, ...]) -> bytes:
    word, truth, number, moment, score = values
    fields = words(word), boolean(truth), double(number), timestamp(moment), numeric(int(score * 10_000))
    return b"".join((len(COLUMNS).to_bytes(2, "big"), *fields))


@pytest.fixture
def database(make_database: MakeDatabase) -> Database:
    return make_database("alerts")


async def copied(database: Database, rows: Iterator[bytes]) -> list[tuple[Any, ...]]:
    async with database.transaction() as tx:
        await tx.driver.execute(
            "CREATE TEMP TABLE copied (word text, truth boolean, number double precision, moment timestamptz,"
            " score numeric(5,4)) ON COMMIT DROP"
        )
        await copy_rows(tx, "copied", COLUMNS, rows)
        return [tuple(row) for row in await tx.driver.fetch("SELECT * FROM copied")]


@pytest.mark.parametrize("times", [0, 1, 100])
async def test_rows_are_stored_as_they_were_packed(times: int, database: Database) -> None:
    assert await copied(database, iter(list(map(packed, VALUES)) * times)) == VALUES * times


async def test_nothing_is_stored_when_a_row_cannot_be_made(database: Database) -> None:
    def rows() -> Iterator[bytes]:
        yield packed(VALUES[0])
        raise KeyError

    with pytest.raises(KeyError):
        await copied(database, rows())
    assert await copied(database, iter([packed(VALUES[0])])) == VALUES[:1]


async def test_numbers_are_stored_as_they_were_added(database: Database) -> None:
    numbers = np.array([[0.1, -0.0, 1e300], [np.nan, 2.0, -1.0]])
    known = np.array([[True, False, True], [False, True, True]])
    rows = ByteRows(2)
    rows.add(np.full(2, 5, ">i2"))
    add_fields(rows, numbers, known)
    add_fields(rows, np.array([[1, -1], [2**62, -(2**63)]]))
    async with database.transaction() as tx:
        await tx.driver.execute(
            "CREATE TEMP TABLE numbers (a double precision, b double precision, c double precision, d bigint, e bigint)"
            " ON COMMIT DROP"
        )
        await copy_rows(tx, "numbers", tuple("abcde"), rows.rows())
        stored = [tuple(row) for row in await tx.driver.fetch("SELECT * FROM numbers")]
    assert stored == [(0.1, None, 1e300, 1, -1), (None, 2.0, -1.0, 2**62, -(2**63))]
