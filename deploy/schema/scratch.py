"""Makes the documents' tables for a moment, so that Postgres says what they demand in the words of its catalog."""

from collections.abc import Iterable

import asyncpg

from deploy.schema.catalog import LiveTable, read_catalog
from deploy.schema.seeds import Table


def scratch_home(table: Table) -> str:
    return f"{_schema(table)}.{table.name}"


def check_name(table: Table, number: int) -> str:
    return f"{table.name}_check_{number}"


def key_name(table: Table, number: int) -> str:
    return f"{table.name}_key_{number}"


def index_name(table: Table, number: int) -> str:
    return f"{table.name}_index_{number}"


async def read_demands(connection: asyncpg.Connection, tables: Iterable[Table]) -> dict[str, LiveTable]:
    """The tables by scratch_home, their constraints and indexes by the names above. Foreign keys are left out."""
    made = list(tables)
    schemas = sorted({_schema(table) for table in made})
    transaction = connection.transaction()
    await transaction.start()
    try:
        for schema in schemas:
            await connection.execute(f"CREATE SCHEMA {schema}")
        for table in made:
            await connection.execute(_statements(table))
        return await read_catalog(connection, schemas)
    finally:
        await transaction.rollback()


def _schema(table: Table) -> str:
    return f"scratch_{table.seed}"


def _statements(table: Table) -> str:
    parts = [
        f"{column.name} {column.type}"
        + ("" if column.nullable else " NOT NULL")
        + (f" DEFAULT {_available(column.default)}" if column.default else "")
        for column in table.columns
    ]
    parts += [
        f"CONSTRAINT {key_name(table, number)} UNIQUE ({', '.join(columns)})"
        for number, columns in enumerate(table.keys)
    ]
    parts += [f"CONSTRAINT {check_name(table, number)} CHECK {check}" for number, check in enumerate(table.checks)]
    statements = [f"CREATE TABLE {scratch_home(table)} ({', '.join(parts)})"]
    statements += [
        f"CREATE {'UNIQUE ' if index.unique else ''}INDEX {index_name(table, number)} "
        f"ON {scratch_home(table)} ({', '.join(index.columns)})"
        + (f" WHERE {index.predicate}" if index.predicate else "")
        for number, index in enumerate(table.indexes)
    ]
    return ";\n".join(statements)


def _available(default: str) -> str:
    """The embedded server has no uuid-ossp; its generator is Postgres' own."""
    return default.replace("uuid_generate_v4()", "gen_random_uuid()")
