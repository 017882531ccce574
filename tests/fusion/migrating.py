"""Takes fusion's migrations back, down to a revision."""

from sqlalchemy import Connection, NullPool
from sqlalchemy.ext.asyncio import create_async_engine

from libs.common.db import alembic_env
from libs.common.db.roles import OWNER_ROLE, driver_url


async def migrate_back(dsn: str, revision: str) -> None:
    script = alembic_env._script("fusion")

    def steps(connection: Connection) -> None:
        connection.exec_driver_sql(f"SET LOCAL ROLE {OWNER_ROLE}")
        alembic_env._run(connection, "fusion", script, lambda at, _: script._downgrade_revs(revision, at))

    engine = create_async_engine(driver_url(dsn), poolclass=NullPool)
    async with engine.begin() as connection:
        await connection.run_sync(steps)
