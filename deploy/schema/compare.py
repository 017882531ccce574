"""Compares what the seeds demand with what is there: a difference is a deviation of the closed list, or a problem."""

import re
from dataclasses import dataclass, field

from deploy.schema.catalog import LiveColumn, LiveIndex, LiveTable
from deploy.schema.homes import column_in, home_of
from deploy.schema.seeds import Column, Index, Table

# A table of several documents, and a table that holds what several documents spread over several.
MERGED_TABLES = ("identity.users", "identity.api_keys", "identity.audit_logs")
TYPES = {
    "INT": "integer",
    "SERIAL": "integer",
    "BIGSERIAL": "bigint",
    "FLOAT": "double precision",
    "BOOLEAN": "boolean",
    "TIMESTAMPTZ": "timestamp with time zone",
    "TIMESTAMP": "timestamp without time zone",
    "DECIMAL": "numeric",
}
UUID_DEFAULTS = ("gen_random_uuid()", "uuid_generate_v4()")


@dataclass(frozen=True)
class Row:
    """One line of docs/schema.md. A home that is empty is not built yet."""

    seed: str
    item: str
    home: str
    deviations: tuple[str, ...] = ()


@dataclass
class Comparison:
    rows: list[Row] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def pending(self) -> list[str]:
        return [f"{row.seed} {row.item}" for row in self.rows if not row.home]


def compare(seeds: list[Table], catalog: dict[str, LiveTable]) -> Comparison:
    """Finds the home of every column, check, key and index of every seed table."""
    result = Comparison()
    for table in seeds:
        home = home_of(table.name)
        live = catalog.get(home)
        if live is None:
            result.rows.append(Row(table.seed, table.name, ""))
            continue
        for column in table.columns:
            _compare_column(table, column, home, live, result)
        for check in table.checks:
            _compare_check(table, check, home, live, result)
        keys = [Index(key, "", True) for key in table.keys]
        keys += [Index((column.name,), "", True) for column in table.columns if column.unique or column.primary_key]
        for index in [*keys, *table.indexes]:
            _compare_index(table, index, home, live, catalog, result)
    return result


def _compare_column(table: Table, column: Column, home: str, live: LiveTable, result: Comparison) -> None:
    name = column_in(home, column.name)
    found = live.columns.get(name)
    item = f"{table.name}.{column.name}"
    if found is None:
        result.rows.append(Row(table.seed, item, ""))
        return
    deviations = set[str]()
    if live.view:
        deviations.add("VIEW")
    else:
        deviations |= _type_deviations(column, found)
        deviations |= _default_deviations(column, found)
        if found.nullable != column.nullable:
            deviations.add("nullability")
        deviations |= _reference_deviations(table, column, found, home)
    known = {deviation for deviation in deviations if deviation.isupper()}
    if (unknown := deviations - known) and home in MERGED_TABLES:
        known, unknown = known | {"MERGED"}, set()
    for difference in sorted(unknown):
        result.problems.append(
            f"{table.seed} {item}: {difference} differs: the seed says {_said(column)}, {home}.{name} has "
            f"{found.type}{' NULL' if found.nullable else ' NOT NULL'} default {found.default or 'none'}"
        )
    result.rows.append(Row(table.seed, item, f"{home}.{name}", tuple(sorted(known))))


def _said(column: Column) -> str:
    return f"{column.type}{' NULL' if column.nullable else ' NOT NULL'} default {column.default or 'none'}"


def _type_deviations(column: Column, found: LiveColumn) -> set[str]:
    expected = _postgres_type(column.type)
    if found.type == expected:
        return set()
    if found.type == "bytea":
        return {"SEALED"}
    if expected == "timestamp without time zone" and found.type == "timestamp with time zone":
        return {"TIMESTAMPTZ"}
    if column.type in {"SERIAL", "BIGSERIAL"} and found.type == "uuid":
        return {"APPLICATION_UUID"}
    return {"type"}


def _postgres_type(seed_type: str) -> str:
    base, length, array = re.fullmatch(r"(\w+)(\([\d,]+\))?(\[\])?", seed_type).groups()  # type: ignore[union-attr]
    names = {"VARCHAR": "character varying"} | TYPES
    return f"{names.get(base, base.lower())}{length or ''}{array or ''}"


def _default_deviations(column: Column, found: LiveColumn) -> set[str]:
    if column.default.lower() in UUID_DEFAULTS and not found.default:
        return {"APPLICATION_UUID"}
    if column.type in {"SERIAL", "BIGSERIAL"} or found.generated:
        return set()
    return set() if _plain_default(column.default) == _plain_default(found.default) else {"default"}


def _plain_default(text: str) -> str:
    plain = re.sub(r"::[\w ]+(\[\])?", "", text).strip("()' ").lower()
    plain = re.sub(r"\s+", "", plain)
    return {"current_timestamp": "now", "now()": "now"}.get(plain, plain.replace("'", ""))


def _reference_deviations(table: Table, column: Column, found: LiveColumn, home: str) -> set[str]:
    demanded = column.foreign_key
    if demanded is None:
        return set()
    if found.foreign_key is None:
        if table.name == "audit_logs":
            return {"AUDIT_FK_DROPPED"}
        other_slice = _slice_of(home_of(demanded.table)) != _slice_of(home)
        return {"CROSS_SLICE_FK_DROPPED"} if other_slice and demanded.table != "users" else {"foreign key"}
    return set() if found.foreign_key.on_delete == demanded.on_delete else {"on delete"}


def _slice_of(home: str) -> str:
    return home.partition(".")[0]


def _compare_check(table: Table, check: str, home: str, live: LiveTable, result: Comparison) -> None:
    item = f"{table.name} CHECK {check}"
    demanded = _essence(check, home)
    if any(_essence(definition, home) == demanded for definition in live.checks):
        result.rows.append(Row(table.seed, item, home))
        return
    for definition in live.checks:
        words, values = _essence(definition, home)
        if words == demanded[0] and values > demanded[1]:
            result.rows.append(Row(table.seed, item, home, ("CHECK_EXTENDED",)))
            return
    result.problems.append(f"{table.seed} {item}: {home} has no such check")


def _essence(check: str, home: str) -> tuple[frozenset[str], frozenset[str]]:
    """The columns of a check, and the values that it compares them with."""
    values = frozenset(re.findall(r"'([^']*)'", check)) | frozenset(re.findall(r"(?<![\w'])-?\d+(?:\.\d+)?", check))
    bare = re.sub(r"'[^']*'|::[\w ]+(\[\])?", " ", check)
    words = set(re.findall(r"[a-z_]\w*", bare))
    return frozenset(column_in(home, word) for word in words - {"check", "and", "or", "in", "any", "array"}), values


def _compare_index(
    table: Table, index: Index, home: str, live: LiveTable, catalog: dict[str, LiveTable], result: Comparison
) -> None:
    columns = tuple(" ".join([column_in(home, column.split()[0]), *column.split()[1:]]) for column in index.columns)
    where = f" WHERE {index.predicate}" if index.predicate else ""
    item = f"{table.name} {'KEY' if index.unique else 'INDEX'} ({', '.join(index.columns)}){where}"
    if live.view:
        slice_name = _slice_of(home)
        based = any(
            _same(columns[:1], candidate.columns[:1])
            for name, base in catalog.items()
            if name.startswith(f"{slice_name}.") and not base.view
            for candidate in base.indexes
        )
        if based:
            result.rows.append(Row(table.seed, item, home, ("VIEW_INDEX_ON_BASE",)))
        else:
            result.problems.append(f"{table.seed} {item}: no table below the view has such an index")
        return
    if any(_serves(candidate, columns, index) for candidate in live.indexes):
        result.rows.append(Row(table.seed, item, home))
        return
    for candidate in live.indexes:
        if index.unique and candidate.unique and set(columns) < set(candidate.columns):
            extra = set(candidate.columns) - set(columns)
            deviation = "UNIQUE_PER_USER" if extra == {"user_id"} else "KEY_WIDENED_FOR_PARTITION"
            result.rows.append(Row(table.seed, item, home, (deviation,)))
            return
    result.problems.append(f"{table.seed} {item}: {home} has no such index")


def _serves(candidate: LiveIndex, columns: tuple[str, ...], index: Index) -> bool:
    return (
        _same(columns, candidate.columns)
        and candidate.unique >= index.unique
        and _plain_predicate(candidate.predicate) == _plain_predicate(index.predicate)
    )


def _same(demanded: tuple[str, ...], found: tuple[str, ...]) -> bool:
    return tuple(c.lower() for c in demanded) == tuple(c.lower() for c in found)


def _plain_predicate(text: str) -> frozenset[str]:
    """A predicate as its words: 'x = TRUE' is 'x', and IN is = ANY (ARRAY[...])."""
    bare = re.sub(r"::[\w ]+(\[\])?", "", text).lower()
    bare = re.sub(r"= ?true\b", "", bare)
    return frozenset(re.findall(r"'[^']*'|[\w.]+|[<>=!]+", bare)) - {"in", "any", "array", "=", "and"}
