"""Ends sessions of which nothing is heard any more, and those that last too long."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NoReturn
from uuid import UUID

import structlog

from libs.common.cancellation import pause
from libs.common.clock import Clock, Moment, Timer, running_seconds
from libs.common.db.database import Database
from libs.common.observability.failure import describe_failure
from libs.common.observability.metrics import Metrics
from libs.common.pagination import Position
from libs.common.rpc.errors import AppError
from services.ingest.service.activity import Activity
from services.ingest.service.sessions import end_session
from services.ingest.sessions import AGE_MAX, Status, overdue
from services.ingest.store import clocks, predictions, senders, sessions

INTERVAL_MAX_SECONDS = 60.0
HEARD_PER_TRANSACTION = 500
SESSIONS_PER_LOOK = 200
# A clock that is set by more has to be heard by everybody first.
SET_MAX = timedelta(seconds=10)
ACTOR = "service:ingest"
NEVER = datetime.min.replace(tzinfo=UTC)

log = structlog.get_logger()


class SessionEnds:
    """Writes down whom this process hears, then looks for sessions that nobody hears.

    Silence counts only while what is heard could be written down: after a start, when the database was away, or when
    somebody set the clock, nothing is silent before `silence` has passed. By then every other process has written too.
    """

    def __init__(
        self,
        database: Database,
        activity: Activity,
        metrics: Metrics,
        silence: timedelta,
        clock: Clock,
        timer: Timer = running_seconds,
    ) -> None:
        self._database = database
        self._activity = activity
        self._metrics = metrics
        self._silence = silence
        self._clock = clock
        self._timer = timer
        self._last_look: Moment | None = None
        # By the timer, both: since when what is heard is written down, and when the clock was last set.
        self._listening_since: float | None = None
        self._clock_set_at: float | None = None

    async def run(self) -> NoReturn:
        """A background task."""
        interval_seconds = min(INTERVAL_MAX_SECONDS, self._silence.total_seconds() / 4)
        while True:
            try:
                await self.look()
            except AppError as error:
                log.warning("sessions not looked after", reason=error.reason)
            await pause(interval_seconds)

    async def look(self) -> int:
        """How many sessions it ended."""
        moment = self._moment()
        now = moment.time
        await self._write_down(now)
        if self._listening_since is None:
            self._listening_since = moment.running_seconds
        heard_before = now - self._silence if self._has_passed(self._listening_since, moment) else NEVER
        known_before = now - AGE_MAX if self._has_passed(self._clock_set_at, moment) else NEVER
        ended, last = 0, None
        while found := await self._overdue(known_before, heard_before, last):
            ended += sum([await self._try_to_end(session_id, now) for _, session_id in found])
            last = found[-1]
        return ended

    def _moment(self) -> Moment:
        moment = Moment(self._clock(), self._timer())
        if self._last_look and abs(moved := moment.set_ahead_since(self._last_look)) > SET_MAX:
            log.warning("the clock was set", ahead_seconds=moved.total_seconds())
            self._listening_since, self._clock_set_at = None, moment.running_seconds
        self._last_look = moment
        return moment

    def _has_passed(self, since: float | None, moment: Moment) -> bool:
        """The time that counts as silence."""
        return since is None or moment.running_seconds - since >= self._silence.total_seconds()

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

    async def _overdue(
        self, known_before: datetime, heard_before: datetime, after: Position | None
    ) -> Sequence[Position]:
        async with self._database.read() as tx:
            return await sessions.overdue(tx, known_before, heard_before, after, SESSIONS_PER_LOOK)

    async def _try_to_end(self, session_id: UUID, look_time: datetime) -> bool:
        """One that can't be ended now holds up nobody else."""
        try:
            return await self._end(session_id, look_time)
        except AppError as error:
            self._metrics.sessions_passed_over.inc()
            log.warning("a session not ended", reason=error.reason)
        except Exception as error:
            self._metrics.sessions_passed_over.inc()
            log.error("a session not ended", **describe_failure(error))
        return False

    async def _end(self, session_id: UUID, look_time: datetime) -> bool:
        """It ends with its newest window; False when there was no reason any more at the time of the look.

        All its predictions are read before it is locked; under the lock, where its writers wait, the newest alone.
        """
        async with self._database.read() as tx:
            captured_before = await predictions.newest_capture(tx, session_id)
        async with self._database.transaction() as tx:
            await sessions.lock_table(tx)
            session = await sessions.lock(tx, session_id)
            if session is None or session.status is Status.ENDED:
                return False
            last_heard = await senders.last_heard(tx, session_id) or session.receive_time
            cause = overdue(session, last_heard, look_time, self._silence)
            if cause is None:
                return False
            captured = await predictions.recent_capture(tx, session_id)
            end_time = max(time for time in (captured_before, captured, session.start_time) if time is not None)
            await end_session(tx, session.ended(end_time, self._clock(), cause), ACTOR)
        log.info("session ended", cause=cause.value)
        return True
