"""Ends sessions of which nothing is heard any more, and those that last too long."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import NoReturn
from uuid import UUID

import structlog

from libs.common.clock import Clock
from libs.common.db.database import Database
from libs.common.rpc.errors import AppError
from services.ingest.service.activity import Activity
from services.ingest.service.sessions import end_session
from services.ingest.sessions import AGE_MAX, Status, overdue
from services.ingest.store import clocks, predictions, senders, sessions

INTERVAL_MAX_SECONDS = 60.0
HEARD_PER_TRANSACTION = 500
SESSIONS_PER_LOOK = 200
ACTOR = "service:ingest"
NEVER = datetime.min.replace(tzinfo=UTC)

log = structlog.get_logger()


class SessionEnds:
    """Writes down whom this process hears, then looks for sessions that nobody hears.

    Silence counts only while what is heard could be written down: after a start, or when the database was away, nothing
    is silent before `silence` has passed. By then every other process has written too.
    """

    def __init__(self, database: Database, activity: Activity, silence: timedelta, clock: Clock) -> None:
        self._database = database
        self._activity = activity
        self._silence = silence
        self._clock = clock
        self._listening_since: datetime | None = None

    async def run(self) -> NoReturn:
        """A background task."""
        interval_seconds = min(INTERVAL_MAX_SECONDS, self._silence.total_seconds() / 4)
        while True:
            try:
                await self.look()
            except AppError as error:
                log.warning("sessions not looked after", reason=error.reason)
            await asyncio.sleep(interval_seconds)

    async def look(self) -> int:
        """How many sessions it ended."""
        now = self._clock()
        await self._write_down(now)
        if self._listening_since is None:
            self._listening_since = now
        heard_before = now - self._silence if now - self._listening_since >= self._silence else NEVER
        ended = 0
        while found := await self._overdue(now, heard_before):
            done = [await self._try_to_end(session_id) for session_id in found]
            ended += sum(done)
            if not all(done):  # somebody else ended it, or it was heard of
                break
        return ended

    async def _write_down(self, now: datetime) -> None:
        heard = self._activity.take()
        in_order = sorted(heard)
        try:
            for first in range(0, len(in_order), HEARD_PER_TRANSACTION):
                async with self._database.transaction() as tx:
                    await senders.heard(tx, in_order[first : first + HEARD_PER_TRANSACTION], now)
            if estimates := self._activity.take_clocks():
                async with self._database.transaction() as tx:
                    await clocks.keep(tx, estimates)
        except AppError:
            self._activity.put_back(heard)
            self._listening_since = None
            raise

    async def _overdue(self, now: datetime, heard_before: datetime) -> list[UUID]:
        async with self._database.read() as tx:
            return list(await sessions.overdue(tx, now - AGE_MAX, heard_before, SESSIONS_PER_LOOK))

    async def _try_to_end(self, session_id: UUID) -> bool:
        """One that can't be ended now holds up nobody else."""
        try:
            return await self._end(session_id)
        except AppError as error:
            log.warning("a session not ended", reason=error.reason)
            return False

    async def _end(self, session_id: UUID) -> bool:
        """It ends with its newest window; False when there is no reason any more."""
        async with self._database.transaction() as tx:
            session = await sessions.lock(tx, session_id)
            if session is None or session.status is Status.ENDED:
                return False
            now = self._clock()
            last_heard = await senders.last_heard(tx, session_id) or session.receive_time
            cause = overdue(session, last_heard, now, self._silence)
            if cause is None:
                return False
            captured = await predictions.newest_capture(tx, session_id) or session.start_time
            await end_session(tx, session.ended(max(captured, session.start_time), now, cause), ACTOR)
        log.info("session ended", cause=cause.value)
        return True
