"""What migrations make is what the metadata says, and goes without a trace."""

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import Connection, MetaData
from sqlalchemy.ext.asyncio import create_async_engine

from libs.common.db.roles import driver_url
from libs.common.feed import ddl
from libs.common.feed.tables import add_to


def _check(connection: Connection) -> None:
    metadata = MetaData(schema="patterns")
    add_to(metadata)
    connection.exec_driver_sql("CREATE SCHEMA patterns")
    context = MigrationContext.configure(
        connection,
        opts={
            "include_schemas": True,
            "include_name": lambda name, kind, _: kind != "schema" or name == "patterns",
            "compare_type": True,
            "compare_server_default": True,
        },
    )
    with Operations.context(context):
        for partitions in (1, 4):
            ddl.create_feed_tables("patterns", partitions)
            assert compare_metadata(context, metadata) == []
            heads = connection.exec_driver_sql("SELECT partition, position FROM patterns.feed_head ORDER BY 1")
            assert [tuple(row) for row in heads] == [(number, 0) for number in range(partitions)]
            ddl.drop_feed_tables("patterns")
            relations = "SELECT count(*) FROM pg_class WHERE relnamespace = 'patterns'::regnamespace"
            assert connection.exec_driver_sql(relations).scalar() == 0


async def test_migration_helpers_make_the_tables(dsn: str) -> None:
    engine = create_async_engine(driver_url(dsn))
    async with engine.connect() as connection:
        await connection.run_sync(_check)
    await engine.dispose()


@pytest.mark.parametrize("partitions", [0, 1025])
def test_partitions_are_bounded(partitions: int) -> None:
    with pytest.raises(ValueError, match="1 to 1024"):
        ddl.create_feed_tables("patterns", partitions)
