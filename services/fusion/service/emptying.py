"""`python -m services.fusion empty`: takes away all that follows from feeds, so that it is made anew from them. What
people decided and what was audited stays.
"""

import argparse
import asyncio
import getpass
import os
import sys
from collections.abc import Sequence

from libs.common.db.audit import append_audit
from libs.common.db.database import Database
from libs.common.db.migrate import DSN_VARIABLE
from libs.common.db.roles import OWNER_ROLE
from libs.common.rpc.errors import AppError
from services.fusion.tables import METADATA, SCHEMA

KEPT = frozenset(
    {
        "model_versions",
        "model_switches",
        "model_head",
        "audit_logs",
        "audit_salts",
        "audit_head",
        "feed_identity",
        "feed_head",
    }
)
# Somebody may be in the middle of a transaction.
_LOCK_TIMEOUT_SECONDS = 9.0


async def empty(admin_dsn: str) -> None:
    """The slice tells another feed from now on: who follows it has to begin anew. UNAVAILABLE DATABASE_BUSY."""
    database = Database(admin_dsn, SCHEMA, 1, lock_timeout_seconds=_LOCK_TIMEOUT_SECONDS)
    try:
        async with database.transaction() as tx:
            await tx.execute(f"SET LOCAL ROLE {OWNER_ROLE}")
            names = ", ".join(f"{SCHEMA}.{table.name}" for table in METADATA.sorted_tables if table.name not in KEPT)
            await tx.execute(f"TRUNCATE {names}")
            await tx.execute("UPDATE feed_identity SET feed_id = gen_random_uuid(), create_time = now()")
            await tx.execute("UPDATE feed_head SET position = 0, pruned_position = 0")
            await append_audit(
                tx, user_id=None, actor=f"operator:{getpass.getuser()}", action="slice.empty", resource_type="slice"
            )
    finally:
        await database.close()


def run_empty(arguments: Sequence[str]) -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m services.fusion empty", description="Prepares a rebuild.")
    parser.add_argument(
        "--dsn", default=os.environ.get(DSN_VARIABLE), help=f"an administrator's; default ${DSN_VARIABLE}"
    )
    options = parser.parse_args(arguments)
    if not options.dsn:
        parser.error(f"--dsn or ${DSN_VARIABLE} is needed")
    try:
        asyncio.run(empty(options.dsn))
    except AppError as error:
        print(f"empty: {error}", file=sys.stderr)  # noqa: T201 - a command's answer
        return 1
    return 0
