"""Deletes voice sessions once they are learned from and their time is over, and counts those that wait too long."""

from typing import Final

import structlog

from libs.common.cancellation import pause
from libs.common.clock import Clock, utc_now
from libs.common.db.audit import append_audit
from libs.common.db.database import Database
from libs.common.observability.metrics import Metrics
from libs.common.rpc.errors import AppError
from services.ingest.store import voice

BATCH: Final = 500
OVERDUE_MAX: Final = 10_000
EVERY_SECONDS: Final = 600.0

_log = structlog.get_logger()


class VoiceCleaner:
    """What nobody has learned from stays, however old; a gauge says that it waits."""

    def __init__(self, database: Database, metrics: Metrics, clock: Clock = utc_now, batch: int = BATCH) -> None:
        self._database = database
        self._metrics = metrics
        self._clock = clock
        self._batch = batch

    async def run(self) -> None:
        while True:
            try:
                await self.clean()
            except AppError as error:
                _log.warning("voice sessions not cleaned up", reason=error.reason)
            await pause(EVERY_SECONDS)

    async def clean(self) -> int:
        """How many were deleted, in transactions of a batch each."""
        deleted = 0
        while count := await self._clean_some():
            deleted += count
        async with self._database.read() as tx:
            overdue = await voice.count_overdue(tx, self._clock(), OVERDUE_MAX)
        self._metrics.voice_sessions_overdue.set(overdue)
        return deleted

    async def _clean_some(self) -> int:
        async with self._database.transaction() as tx:
            count = await voice.delete_extracted(tx, self._clock(), self._batch)
            if count:
                await append_audit(
                    tx,
                    user_id=None,
                    actor="job:clean_up",
                    action="voice_session.clean_up",
                    resource_type="voice_session",
                    metadata={"sessions": count},
                )
        return count
