"""A database with a partitioned table whose months are dropped, and one whose months are kept."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

from sqlalchemy import Connection, NullPool
from sqlalchemy.ext.asyncio import create_async_engine

from libs.common.db import grants, partitions, shared_ddl
from libs.common.db.database import Database, Transaction
from libs.common.db.roles import OWNER_ROLE, driver_url
from quietus_edge.ids import uuid7
from tests.support import postgres

SCHEMA = "ingest"
TABLES = ("notes", "results")


class Operations:
    """What a migration's `op` does here."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def execute(self, statement: str) -> None:
        self._connection.exec_driver_sql(statement)


@asynccontextmanager
async def database_with_months(admin_dsn: str) -> AsyncIterator[str]:
    """The administrator's DSN."""
    dsn = await postgres.create_database(admin_dsn, "template1")
    async with create_async_engine(driver_url(dsn), poolclass=NullPool).begin() as connection:
        await connection.run_sync(_migrate)
    yield dsn
    await postgres.drop_database(admin_dsn, dsn)


def _migrate(connection: Connection) -> None:
    for slice_name in (SCHEMA, "fusion"):
        grants.create_roles(connection, slice_name, {})
    grants.create_schema(connection, SCHEMA)
    op = Operations(connection)
    op.execute(f"SET LOCAL ROLE {OWNER_ROLE}")
    op.execute(f"CREATE TABLE {SCHEMA}.sessions (id uuid PRIMARY KEY)")
    for table in TABLES:
        op.execute(
            f"CREATE TABLE {SCHEMA}.{table} (session_id uuid NOT NULL REFERENCES {SCHEMA}.sessions ON DELETE CASCADE,"
            " id uuid NOT NULL, note text, PRIMARY KEY (session_id, id)) PARTITION BY RANGE (session_id)"
        )
    shared_ddl.create_audit_tables(op, SCHEMA)
    partitions.create_partitioning(op, SCHEMA, TABLES)
    partitions.create_retention(op, SCHEMA, TABLES, expiring=["notes"])
    grants.grant_rights(connection, SCHEMA)


async def add(database: Database, session_id: UUID, table: str = "notes") -> str:
    """The partition that took the row."""
    async with database.transaction() as tx:
        values = {"session_id": session_id, "id": uuid7()}
        await tx.execute("INSERT INTO sessions (id) VALUES (:session_id) ON CONFLICT DO NOTHING", values)
        found: str = await tx.scalar(
            f"INSERT INTO {table} (session_id, id) VALUES (:session_id, :id)"  # noqa: S608 - one of TABLES
            " RETURNING tableoid::regclass::text",
            values,
        )
        return found


async def leaves(database: Database, table: str = "notes") -> list[str]:
    statement = "SELECT relname FROM pg_partition_tree(:parent) JOIN pg_class ON oid = relid WHERE isleaf"
    async with database.read() as tx:
        rows = await tx.fetch_all(f"{statement} ORDER BY relname", {"parent": table})
    return [row.relname for row in rows]


async def count(database: Database, table: str) -> int:
    async with database.read() as tx:
        rows: int = await tx.scalar(f"SELECT count(*) FROM {table}")  # noqa: S608 - a test's own table name
    return rows


async def expire(tx: Transaction, before: UUID) -> Sequence[UUID]:
    rows = await tx.driver.fetch(
        "DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE id < $1 LIMIT 2) RETURNING id", before
    )
    return [row["id"] for row in rows]
