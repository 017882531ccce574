"""Databases for tests: one server a test process, one migrated template, one cheap copy of it a test."""

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import asyncpg
from sqlalchemy import make_url

from libs.common.db.embedded import NOT_DURABLE, EmbeddedPostgres
from libs.common.db.migrate import migrate_all

TEMPLATE = "quietus_template"


# Copying a database is twenty times as quick in memory; a container may have too little of it.
MEMORY_FOLDER = Path("/dev/shm")  # noqa: S108
ENOUGH_BYTES = 1 << 30


@contextmanager
def quick_folder() -> Iterator[Path]:
    """A folder that goes at the end, in memory if there is enough of it."""
    in_memory = MEMORY_FOLDER.is_dir() and shutil.disk_usage(MEMORY_FOLDER).free > ENOUGH_BYTES
    folder = Path(tempfile.mkdtemp(prefix="quietus-test-", dir=MEMORY_FOLDER if in_memory else None))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def running_server() -> Iterator[str]:
    """A server in a folder that goes with it; the administrator's DSN."""
    with quick_folder() as folder:
        server = EmbeddedPostgres(folder / "postgres", NOT_DURABLE)
        try:
            yield server.start()
        finally:
            server.stop()


def make_template(admin_dsn: str) -> None:
    """A database with every slice's tables, to be copied."""
    asyncio.run(execute(admin_dsn, f"CREATE DATABASE {TEMPLATE}"))
    migrate_all(in_database(admin_dsn, TEMPLATE))


async def create_database(admin_dsn: str, template: str = TEMPLATE) -> str:
    """A database of its own; the administrator's DSN in it."""
    name = f"test_{uuid4().hex}"
    await execute(admin_dsn, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
    return in_database(admin_dsn, name)


async def drop_database(admin_dsn: str, dsn: str) -> None:
    await execute(admin_dsn, f"DROP DATABASE {make_url(dsn).database} WITH (FORCE)")


async def execute(dsn: str, statement: str, *values: object) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(statement, *values)
    finally:
        await connection.close()


def query(dsn: str, sql: str) -> object:
    """Waits while the server recovers."""

    async def run() -> object:
        async with asyncio.timeout(60):
            while True:
                try:
                    connection = await asyncpg.connect(dsn)
                except (OSError, asyncpg.CannotConnectNowError, asyncpg.ConnectionDoesNotExistError):
                    await asyncio.sleep(0.02)
                    continue
                try:
                    return await connection.fetchval(sql)
                finally:
                    await connection.close()

    with asyncio.Runner() as runner:
        return runner.run(run())


def in_database(dsn: str, name: str) -> str:
    return make_url(dsn).set(database=name).render_as_string(hide_password=False)
