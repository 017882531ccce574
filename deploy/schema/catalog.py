"""Reads tables from Postgres' own catalog, where every spelling of one type, default or condition is the same."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

import asyncpg

from deploy.schema.seeds import ForeignKey


@dataclass(frozen=True)
class LiveColumn:
    type: str
    nullable: bool
    default: str  # empty when there is none
    generated: bool
    foreign_key: ForeignKey | None  # to 'schema.table'


@dataclass(frozen=True)
class LiveIndex:
    columns: tuple[str, ...]  # with " DESC"
    predicate: str
    unique: bool


@dataclass(frozen=True)
class LiveTable:
    view: bool
    partition_key: str  # empty when the table is whole
    bases: tuple[str, ...]  # 'schema.table' below a view
    columns: dict[str, LiveColumn] = field(default_factory=dict)
    checks: dict[str, str] = field(default_factory=dict)  # by name
    indexes: dict[str, LiveIndex] = field(default_factory=dict)  # by name


TABLES = """
SELECT n.nspname || '.' || c.relname AS home, c.relkind = 'v' AS view,
       coalesce(substring(pg_get_partkeydef(c.oid) FROM '\\((.*)\\)'), '') AS partition_key,
       ARRAY(SELECT DISTINCT bn.nspname || '.' || b.relname
             FROM pg_rewrite r JOIN pg_depend d ON d.objid = r.oid AND d.refobjid <> c.oid
             JOIN pg_class b ON b.oid = d.refobjid JOIN pg_namespace bn ON bn.oid = b.relnamespace
             WHERE r.ev_class = c.oid ORDER BY 1) AS bases
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = ANY($1) AND c.relkind IN ('r', 'p', 'v') AND NOT c.relispartition
"""

COLUMNS = """
SELECT n.nspname || '.' || c.relname AS home, a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type,
       NOT a.attnotnull AS nullable, coalesce(pg_get_expr(d.adbin, d.adrelid), '') AS default,
       a.attgenerated = 's' AS generated, k.referenced, k.on_delete
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
LEFT JOIN LATERAL (
    -- One over several columns, as a partitioned table needs, stands for each of them that has none of its own.
    SELECT rn.nspname || '.' || r.relname AS referenced, f.confdeltype::text AS on_delete
    FROM pg_constraint f JOIN pg_class r ON r.oid = f.confrelid JOIN pg_namespace rn ON rn.oid = r.relnamespace
    WHERE f.conrelid = c.oid AND f.contype = 'f' AND a.attnum = ANY(f.conkey)
    ORDER BY cardinality(f.conkey) LIMIT 1
) k ON true
WHERE n.nspname = ANY($1) AND c.relkind IN ('r', 'p', 'v') AND NOT c.relispartition
ORDER BY home, a.attnum
"""

CHECKS = """
SELECT n.nspname || '.' || c.relname AS home, k.conname AS name, pg_get_constraintdef(k.oid) AS definition
FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = ANY($1) AND k.contype = 'c' AND NOT c.relispartition
ORDER BY home, name
"""

INDEXES = """
SELECT n.nspname || '.' || c.relname AS home, x.relname AS name, i.indisunique AS unique,
       coalesce(pg_get_expr(i.indpred, i.indrelid), '') AS predicate,
       (SELECT array_agg(pg_get_indexdef(i.indexrelid, k, true) ||
               CASE WHEN pg_index_column_has_property(i.indexrelid, k, 'desc') THEN ' DESC' ELSE '' END ORDER BY k)
        FROM generate_series(1, i.indnkeyatts) k) AS columns
FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = ANY($1) AND NOT c.relispartition
ORDER BY home, name
"""

ON_DELETE = {"c": "CASCADE", "n": "SET NULL", "a": "NO ACTION", "r": "RESTRICT", "d": "SET DEFAULT"}


async def read_catalog(connection: asyncpg.Connection, schemas: Iterable[str]) -> dict[str, LiveTable]:
    """Every table and view of the schemas by 'schema.table'."""
    names = list(schemas)
    tables = {
        row["home"]: LiveTable(row["view"], row["partition_key"], tuple(row["bases"]))
        for row in await connection.fetch(TABLES, names)
    }
    for row in await connection.fetch(COLUMNS, names):
        foreign_key = ForeignKey(row["referenced"], ON_DELETE[row["on_delete"]]) if row["referenced"] else None
        tables[row["home"]].columns[row["name"]] = LiveColumn(
            row["type"], row["nullable"], _one_spelling(row["default"]), row["generated"], foreign_key
        )
    for row in await connection.fetch(CHECKS, names):
        tables[row["home"]].checks[row["name"]] = row["definition"]
    for row in await connection.fetch(INDEXES, names):
        tables[row["home"]].indexes[row["name"]] = LiveIndex(tuple(row["columns"]), row["predicate"], row["unique"])
    return tables


def _one_spelling(default: str) -> str:
    """A sequence's name says nothing, and Postgres keeps both words for the moment of the transaction."""
    return re.sub(r"nextval\(.*\)", "nextval", default).replace("CURRENT_TIMESTAMP", "now()")
