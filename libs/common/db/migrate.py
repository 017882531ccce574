"""Makes roles and schemas, and runs the slices' migrations: `python -m libs.common.db.migrate --dsn DSN up`."""

import argparse
import asyncio
import os
import sys
from collections.abc import Callable, Mapping, Sequence

from sqlalchemy import Connection, NullPool
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine

from libs.common.db import alembic_env, grants
from libs.common.db.roles import OWNER_ROLE, SLICES, driver_url

DSN_VARIABLE = "QUIETUS_DEPLOY_ADMIN_DSN"
LOCK_TIMEOUT = "5s"
# One migration at a time in a database; the number is arbitrary and stays.
_ADVISORY_LOCK = 7_238_411_905

Step = Callable[[Connection, str], None]


def migrate_all(
    admin_dsn: str, slices: Sequence[str] | None = None, passwords: Mapping[str, str] | None = None
) -> None:
    """Brings the slices to their newest revision, each in one transaction. Not for a running event loop."""

    def up(connection: Connection, slice_name: str) -> None:
        grants.create_roles(connection, slice_name, passwords or {})
        grants.create_schema(connection, slice_name)
        _become_owner(connection)
        alembic_env.upgrade(connection, slice_name)
        grants.grant_rights(connection, slice_name)

    _for_each(admin_dsn, slices, up)


def downgrade_all(admin_dsn: str, slices: Sequence[str] | None = None) -> None:
    """Takes back every migration of the slices, last slice first."""

    def down(connection: Connection, slice_name: str) -> None:
        _become_owner(connection)
        alembic_env.downgrade(connection, slice_name)

    _for_each(admin_dsn, list(reversed(slices or alembic_env.slices_with_migrations())), down)


def differences(admin_dsn: str, slices: Sequence[str] | None = None) -> list[str]:
    """Where the database is not what the slices' tables say."""
    found: list[str] = []

    def check(connection: Connection, slice_name: str) -> None:
        found.extend(f"{slice_name}: {difference}" for difference in alembic_env.differences(connection, slice_name))

    _for_each(admin_dsn, slices, check)
    return found


def _for_each(admin_dsn: str, slices: Sequence[str] | None, step: Step) -> None:
    def locked(connection: Connection, slice_name: str) -> None:
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})")
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
        step(connection, slice_name)

    async def run() -> None:
        engine = create_async_engine(driver_url(admin_dsn), poolclass=NullPool, hide_parameters=True)
        for slice_name in alembic_env.slices_with_migrations() if slices is None else slices:
            async with engine.begin() as connection:
                await connection.run_sync(locked, slice_name)

    asyncio.run(run())


def _become_owner(connection: Connection) -> None:
    connection.exec_driver_sql(f"SET LOCAL ROLE {OWNER_ROLE}")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m libs.common.db.migrate")
    parser.add_argument(
        "--dsn", default=os.environ.get(DSN_VARIABLE), help=f"an administrator's; default ${DSN_VARIABLE}"
    )
    parser.add_argument("--slice", action="append", choices=SLICES, dest="slices", help="default: all")
    parser.add_argument("action", choices=("up", "down", "check"))
    options = parser.parse_args(arguments)
    if not options.dsn:
        parser.error(f"--dsn or ${DSN_VARIABLE} is needed")
    try:
        return _act(options)
    except (DBAPIError, OSError) as error:
        first_line = str(getattr(error, "orig", None) or error).splitlines()[0]
        return _fail(f"migrate: {first_line}")


def _act(options: argparse.Namespace) -> int:
    if options.action == "up":
        migrate_all(options.dsn, options.slices)
    elif options.action == "down":
        downgrade_all(options.dsn, options.slices)
    else:
        found = differences(options.dsn, options.slices)
        if found:
            return _fail("\n".join(found))
    return 0


def _fail(text: str) -> int:
    print(text, file=sys.stderr)  # noqa: T201 - a command's answer
    return 1


if __name__ == "__main__":
    sys.exit(main())
