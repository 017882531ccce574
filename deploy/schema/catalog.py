"""Reads what a migrated database really holds, from Postgres' own catalog."""

from dataclasses import dataclass

import asyncpg

from deploy.schema.seeds import ForeignKey


@dataclass(frozen=True)
class LiveColumn:
    type: str  # as format_type() says it
    nullable: bool
    default: str  # as pg_get_expr() says it; empty when there is none
    generated: bool
    foreign_key: ForeignKey | None


@dataclass(frozen=True)
class LiveIndex:
    columns: tuple[str, ...]
    predicate: str
    unique: bool


@dataclass(frozen=True)
class LiveTable:
    view: bool
    columns: dict[str, LiveColumn]
    checks: tuple[str, ...]
    indexes: tuple[LiveIndex, ...]


COLUMNS = """
SELECT n.nspname AS schema, c.relname AS name, c.relkind::text AS kind, a.attname AS column,
       format_type(a.atttypid, a.atttypmod) AS type, NOT a.attnotnull AS nullable,
       coalesce(pg_get_expr(d.adbin, d.adrelid), '') AS default, a.attgenerated = 's' AS generated
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
WHERE n.nspname = ANY($1) AND c.relkind IN ('r', 'p', 'v') AND NOT c.relispartition
ORDER BY 1, 2, a.attnum
"""

CONSTRAINTS = """
SELECT n.nspname AS schema, c.relname AS name, k.contype::text AS kind, pg_get_constraintdef(k.oid) AS definition,
       r.relname AS referenced, k.confdeltype::text AS on_delete,
       (SELECT array_agg(a.attname::text) FROM pg_attribute a
        WHERE a.attrelid = c.oid AND a.attnum = ANY(k.conkey)) AS columns
FROM pg_constraint k
JOIN pg_class c ON c.oid = k.conrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_class r ON r.oid = k.confrelid
WHERE n.nspname = ANY($1) AND k.contype IN ('c', 'f') AND NOT c.relispartition
"""

INDEXES = """
SELECT n.nspname AS schema, c.relname AS name, i.indisunique AS unique,
       coalesce(pg_get_expr(i.indpred, i.indrelid), '') AS predicate,
       (SELECT array_agg(pg_get_indexdef(i.indexrelid, k, true) ||
               CASE WHEN pg_index_column_has_property(i.indexrelid, k, 'desc') THEN ' DESC' ELSE '' END ORDER BY k)
        FROM generate_series(1, i.indnkeyatts) k) AS columns
FROM pg_index i
JOIN pg_class c ON c.oid = i.indrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = ANY($1) AND NOT c.relispartition
"""

ON_DELETE = {"c": "CASCADE", "n": "SET NULL", "a": "NO ACTION", "r": "RESTRICT", "d": "SET DEFAULT"}


async def read_catalog(dsn: str, slices: tuple[str, ...]) -> dict[str, LiveTable]:
    """Every table and view of the slices by 'slice.table'."""
    connection = await asyncpg.connect(dsn)
    try:
        columns = await connection.fetch(COLUMNS, slices)
        constraints = await connection.fetch(CONSTRAINTS, slices)
        indexes = await connection.fetch(INDEXES, slices)
    finally:
        await connection.close()
    foreign_keys = {
        (row["schema"], row["name"], row["columns"][0]): ForeignKey(row["referenced"], ON_DELETE[row["on_delete"]])
        for row in constraints
        if row["kind"] == "f" and len(row["columns"]) == 1
    }
    # A foreign key over several columns, as a partitioned table needs, stands for its column that names the parent.
    for row in constraints:
        if row["kind"] == "f":
            for column in row["columns"]:
                key = ForeignKey(row["referenced"], ON_DELETE[row["on_delete"]])
                foreign_keys.setdefault((row["schema"], row["name"], column), key)
    tables: dict[str, LiveTable] = {}
    for row in columns:
        home = (row["schema"], row["name"])
        if ".".join(home) not in tables:
            tables[".".join(home)] = LiveTable(
                view=row["kind"] == "v",
                columns={},
                checks=tuple(
                    k["definition"] for k in constraints if (k["schema"], k["name"]) == home and k["kind"] == "c"
                ),
                indexes=tuple(
                    LiveIndex(tuple(i["columns"]), i["predicate"], i["unique"])
                    for i in indexes
                    if (i["schema"], i["name"]) == home
                ),
            )
        foreign_key = foreign_keys.get((*home, row["column"]))
        tables[".".join(home)].columns[row["column"]] = LiveColumn(
            row["type"], row["nullable"], row["default"], row["generated"], foreign_key
        )
    return tables
