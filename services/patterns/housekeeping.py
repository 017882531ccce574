"""Makes the partitions of the months ahead."""

import asyncio

import structlog

from libs.common.db.database import Database
from libs.common.db.partitions import ensure_partitions
from libs.common.rpc.errors import AppError

EVERY_SECONDS = 3600.0
AGAIN_SECONDS = 5.0

log = structlog.get_logger()


async def keep_partitions(database: Database) -> None:
    """Never returns. Rows whose partition isn't there yet wait in DEFAULT, so trying again later loses nothing."""
    while True:
        pause = EVERY_SECONDS
        try:
            async with database.transaction() as tx:
                await ensure_partitions(tx)
        except AppError as error:
            log.warning("partitions not made", reason=error.reason)
            pause = AGAIN_SECONDS
        await asyncio.sleep(pause)
