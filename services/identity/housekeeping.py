"""Forgets logins that expired and attempts that no longer count."""

import structlog

from libs.common.cancellation import pause
from libs.common.clock import Clock
from libs.common.db.database import Database
from libs.common.rpc.errors import AppError
from services.identity.store import logins

EVERY_SECONDS = 600.0

log = structlog.get_logger()


async def keep_house(database: Database, clock: Clock) -> None:
    """Never returns."""
    while True:
        try:
            async with database.transaction() as tx:
                await logins.prune(tx, clock())
        except AppError as error:
            log.warning("housekeeping waits for the database", reason=error.reason)
        await pause(EVERY_SECONDS)
