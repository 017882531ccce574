"""Finds the home of all that the documents demand: each item has a row, is built later, or is a problem."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum

import asyncpg

from deploy.schema.catalog import LiveColumn, LiveIndex, LiveTable, read_catalog
from deploy.schema.checks import find_check
from deploy.schema.columns import compare_column, compare_reference
from deploy.schema.deviations import Deviation
from deploy.schema.homes import SLICES, column_in, home_of
from deploy.schema.indexes import find_below_view, find_index, index_in
from deploy.schema.later import is_later
from deploy.schema.scratch import check_name, index_name, key_name, read_demands, scratch_home
from deploy.schema.seeds import Column, Index, Table


class Kind(Enum):
    COLUMN = "column"
    KEY = "key"
    CHECK = "check"
    INDEX = "index"


@dataclass(frozen=True)
class Row:
    """One line of docs/schema.md."""

    kind: Kind
    seed: str
    item: str
    home: str
    deviations: tuple[Deviation, ...]


@dataclass
class Comparison:
    rows: list[Row] = field(default_factory=list)
    pending: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


async def compare(connection: asyncpg.Connection, seeds: Iterable[Table]) -> Comparison:
    """What the documents demand, and what the slices' migrated schemas in this database hold."""
    catalog = await read_catalog(connection, SLICES)
    tables = list(seeds)
    demands = await read_demands(connection, (table for table in tables if home_of(table.name) in catalog))
    comparison = _Comparison(catalog, tables, demands)
    for table in tables:
        comparison.add_table(table)
    return comparison.result


class _Comparison:
    def __init__(self, catalog: Mapping[str, LiveTable], tables: list[Table], demands: Mapping[str, LiveTable]) -> None:
        self._catalog = catalog
        self._tables = tables
        self._demands = demands
        self.result = Comparison()

    def add_table(self, table: Table) -> None:
        for column in table.columns:
            self._add_column(table, column)
        for number, columns in enumerate(table.keys):
            self._add_index(Kind.KEY, table, Index(columns, "", unique=True), key_name(table, number))
        for number, check in enumerate(table.checks):
            self._add_check(table, check, check_name(table, number))
        for number, index in enumerate(table.indexes):
            self._add_index(Kind.INDEX, table, index, index_name(table, number))

    def _add_column(self, table: Table, column: Column) -> None:
        home = home_of(table.name)
        live = self._catalog.get(home)
        name = column_in(home, column.name)
        found = live.columns.get(name) if live else None
        item = f"{table.name}.{column.name}"
        if live is None or found is None:
            self._add(Kind.COLUMN, table, item, None)
            return
        demanded = self._demands[scratch_home(table)].columns[column.name]
        if live.view:
            deviations, problems = {Deviation.VIEW}, list[str]()
        else:
            deviations, problems = compare_column(demanded, found, self._others(table, home, name))
            dropped, wrong = compare_reference(column.foreign_key, found.foreign_key, home)
            deviations, problems = deviations | dropped, problems + wrong
        if name != column.name:
            deviations.add(Deviation.MERGED)
        self.result.problems += [f"{table.seed} {item}: {home}.{name} {problem}" for problem in problems]
        self._add(Kind.COLUMN, table, item, (f"{home}.{name}", deviations))

    def _add_check(self, table: Table, check: str, name: str) -> None:
        home = home_of(table.name)
        found = None
        if live := self._catalog.get(home):
            demanded = self._demands[scratch_home(table)].checks[name]
            if match := find_check(demanded, live.checks):
                found = f"{home}.{match[0]}", match[1]
        self._add(Kind.CHECK, table, f"{table.name} CHECK {check}", found)

    def _add_index(self, kind: Kind, table: Table, index: Index, name: str) -> None:
        home = home_of(table.name)
        where = f" WHERE {index.predicate}" if index.predicate else ""
        title = "KEY" if kind is Kind.KEY else "UNIQUE INDEX" if index.unique else "INDEX"
        item = f"{table.name} {title} ({', '.join(index.columns)}){where}"
        found = None
        if live := self._catalog.get(home):
            demanded = index_in(home, self._demands[scratch_home(table)].indexes[name])
            if live.view:
                found = find_below_view(demanded, live, self._catalog)
            else:
                found = find_index(demanded, home, live, self._other_indexes(table, home))
        self._add(kind, table, item, found)

    def _others(self, table: Table, home: str, name: str) -> list[LiveColumn]:
        return [
            column
            for other in self._describing(table, home)
            for column_name, column in self._demands[scratch_home(other)].columns.items()
            if column_in(home, column_name) == name
        ]

    def _other_indexes(self, table: Table, home: str) -> list[LiveIndex]:
        return [
            index_in(home, index)
            for other in self._describing(table, home)
            for index in self._demands[scratch_home(other)].indexes.values()
        ]

    def _describing(self, table: Table, home: str) -> list[Table]:
        """The other documents' descriptions of the same table."""
        return [other for other in self._tables if other is not table and home_of(other.name) == home]

    def _add(self, kind: Kind, table: Table, item: str, found: tuple[str, set[Deviation]] | None) -> None:
        later = is_later(table.seed, table.name, item)
        if found is not None:
            self.result.rows.append(Row(kind, table.seed, item, found[0], tuple(sorted(found[1]))))
            if later:
                self.result.problems.append(f"{table.seed} {item}: is listed as built later, and is there: {found[0]}")
        elif later:
            self.result.pending.append(f"{table.seed} {item}")
        else:
            self.result.problems.append(f"{table.seed} {item}: has no home in {home_of(table.name)}")
