"""What docs/ says of the schema is so in the database; for this the seed documents need not be at hand."""

import re

import asyncpg
import pytest

from deploy.schema.__main__ import PENDING_PAGE, SCHEMA_PAGE
from deploy.schema.catalog import LiveColumn, LiveTable, read_catalog
from deploy.schema.compare import Kind
from deploy.schema.deviations import Deviation
from deploy.schema.homes import LOOKED_UP_BY, SLICES, column_in, home_of, slice_of
from deploy.schema.later import LATER_ITEMS, LATER_TABLES
from tests.schema.written import CLOSED_LIST, WrittenRow, read_rows

ROWS = read_rows(SCHEMA_PAGE.read_text())
PENDING = PENDING_PAGE.read_text().splitlines()


@pytest.fixture
async def catalog(connection: asyncpg.Connection) -> dict[str, LiveTable]:
    return await read_catalog(connection, SLICES)


def test_page_has_a_row_for_each_item() -> None:
    assert "| seed | table.column | slice.table.column | deviation |\n" in SCHEMA_PAGE.read_text()
    assert {row.kind for row in ROWS} == set(Kind)
    assert {row.seed for row in ROWS} == {"000", "001", "002", "003", "004"}


def test_every_home_is_there(catalog: dict[str, LiveTable]) -> None:
    assert [row for row in ROWS if not _is_there(row, catalog)] == []


def test_deviations_are_of_the_closed_list_and_the_database_bears_them_out(catalog: dict[str, LiveTable]) -> None:
    assert {deviation for row in ROWS for deviation in row.deviations} <= CLOSED_LIST
    assert [row for row in ROWS for told in row.deviations if not _is_true(Deviation(told), row, catalog)] == []


def test_what_is_listed_as_pending_may_be_and_is_not_there(catalog: dict[str, LiveTable]) -> None:
    for line in PENDING:
        seed, table, column = re.fullmatch(r"(\d{3}) (\w+)(?:\.(\w+))?.*", line).groups()  # type: ignore[union-attr]
        assert table in LATER_TABLES or line in LATER_ITEMS
        assert seed in {"001", "002", "003", "004"}
        home = home_of(table)
        assert home not in catalog or column is None or column_in(home, column) not in catalog[home].columns
    assert {f"{row.seed} {row.item}" for row in ROWS}.isdisjoint(PENDING)


def _is_there(row: WrittenRow, catalog: dict[str, LiveTable]) -> bool:
    table = catalog[row.table]
    match row.kind:
        case Kind.COLUMN:
            return row.home.split(".")[2] in table.columns
        case Kind.CHECK:
            return row.home.split(".")[2] in table.checks
        case Kind.KEY:
            return _columns(row) in {index.columns for index in table.indexes.values() if index.unique}
        case Kind.INDEX:
            return _columns(row) in {index.columns for index in table.indexes.values()}


def _is_true(deviation: Deviation, row: WrittenRow, catalog: dict[str, LiveTable]) -> bool:
    table = catalog[row.table]
    if deviation is Deviation.MERGED:
        return len({other.seed for other in ROWS if other.table == row.table}) > 1
    if row.kind is Kind.COLUMN and table.view:
        return deviation is Deviation.VIEW
    if row.kind is Kind.COLUMN:
        return _is_true_of_column(deviation, row.table, table.columns[row.home.split(".")[2]])
    if row.kind is Kind.CHECK:
        return deviation is Deviation.CHECK_EXTENDED
    sealed = {hashed for (home, _), hashed in LOOKED_UP_BY.items() if home == row.table}
    return {
        Deviation.SEALED: not sealed.isdisjoint(_columns(row)),
        Deviation.KEY_WIDENED_FOR_PARTITION: table.partition_key in _columns(row),
        Deviation.UNIQUE_PER_USER: "user_id" in _columns(row),
        Deviation.VIEW_INDEX_ON_BASE: not table.view,
    }.get(deviation, False)


def _is_true_of_column(deviation: Deviation, home: str, column: LiveColumn) -> bool:
    reference = column.foreign_key
    return {
        Deviation.SEALED: column.type == "bytea",
        Deviation.TIMESTAMPTZ: column.type == "timestamp with time zone",
        Deviation.APPLICATION_UUID: column.type == "uuid" and not column.default,
        Deviation.CROSS_SLICE_FK_DROPPED: reference is None or slice_of(reference.table) == slice_of(home),
        Deviation.AUDIT_FK_DROPPED: reference is None and home.endswith(".audit_logs"),
    }.get(deviation, False)


def _columns(row: WrittenRow) -> tuple[str, ...]:
    listed = re.search(r"\((.*)\)", row.home)
    return tuple(listed[1].split(", ")) if listed else ()
