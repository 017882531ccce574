"""One database a test process, emptied for each test."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine

from libs.common.db.database import Database
from libs.common.db.roles import driver_url
from libs.common.feed import ddl
from tests.common.feed.slices import EMPTY, LEDGER, TOLD, Slices
from tests.support.postgres import create_database, execute

PARTITIONS = 3


@pytest.fixture(scope="session")
def feed_dsn(postgres_admin_dsn: str) -> str:
    return asyncio.run(_create_slices(postgres_admin_dsn))


@pytest.fixture
async def dsn(feed_dsn: str) -> str:
    """Two slices with nothing but feed tables and a ledger: ingest, with three partitions, tells; fusion follows."""
    await execute(feed_dsn, EMPTY)
    return feed_dsn


@pytest.fixture
async def slices(dsn: str) -> AsyncIterator[Slices]:
    made = Slices(dsn, Database(dsn, "ingest", pool_size=8), Database(dsn, "fusion", pool_size=4))
    yield made
    await made.source.close()
    await made.follower.close()


async def _create_slices(admin_dsn: str) -> str:
    dsn = await create_database(admin_dsn, "template1")
    engine = create_async_engine(driver_url(dsn))
    async with engine.begin() as connection:
        await connection.run_sync(_create_tables)
    await engine.dispose()
    return dsn


def _create_tables(connection: Connection) -> None:
    with Operations.context(MigrationContext.configure(connection)):
        for name, partitions in (("ingest", PARTITIONS), ("fusion", 1)):
            connection.exec_driver_sql(f"CREATE SCHEMA {name}")
            ddl.create_feed_tables(name, partitions)
    connection.exec_driver_sql(LEDGER)
    connection.exec_driver_sql(TOLD)
