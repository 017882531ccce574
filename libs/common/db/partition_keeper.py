"""Keeps a slice's partitions: makes months ahead, drops those past retention, and deletes what else is as old.

Each step is a transaction of its own, so that no lock is held for long, and gives up soon when somebody is in its way.
Nothing is dropped or deleted by a clock that leapt ahead (retention_clock.py).
"""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import NoReturn
from uuid import UUID

import structlog

from libs.common.cancellation import pause
from libs.common.clock import Clock, Moment, Timer, running_seconds, utc_now
from libs.common.db import partitions, retention_clock
from libs.common.db.audit import append_audit
from libs.common.db.database import Database, Transaction
from libs.common.observability.metrics import Metrics
from libs.common.rpc.errors import AppError
from quietus_edge.ids import EPOCH

MONTHS_AHEAD = 2
EVERY_SECONDS = 3600.0
# Each attempt may hold up writers by its lock_timeout, so they come ever less often.
AGAIN_SECONDS = 5.0
AGAIN_SECONDS_MAX = 300.0

# Why someone should look.
HELD = "retention_held"

SESSIONS = "sessions"

_TRY_TURN = "SELECT pg_try_advisory_xact_lock(hashtext('partition_keeper'), hashtext(current_schema()))"

# Deletes something of sessions whose id is less, a bounded part, and returns the session of each thing that went; none
# when nothing is left.
Expire = Callable[[Transaction, UUID], Awaitable[Sequence[UUID]]]
_NOTHING_ELSE: Mapping[str, Expire] = MappingProxyType({})

_log = structlog.get_logger()


class _NotOurTurnError(Exception):
    """Another process does it at this moment."""


class PartitionKeeper:
    """`expire` deletes what the dropped partitions leave behind: their sessions, and rows that came too late.
    `expire_also` deletes what else goes as early, by its name in the audit log.
    """

    def __init__(
        self,
        database: Database,
        metrics: Metrics,
        retention_days: int,
        expire: Expire,
        clock: Clock = utc_now,
        timer: Timer = running_seconds,
        expire_also: Mapping[str, Expire] = _NOTHING_ELSE,
    ) -> None:
        self._database = database
        self._metrics = metrics
        self._retention_days = retention_days
        self._expire = {SESSIONS: expire, **expire_also}
        self._clock = clock
        self._timer = timer
        self._last: Moment | None = None

    async def run(self) -> NoReturn:
        """Every hour, and soon again when it failed. Rows whose month isn't there yet wait in DEFAULT."""
        again_seconds = AGAIN_SECONDS
        while True:
            try:
                await self.keep()
            except AppError as error:
                _log.warning("partitions_not_kept", reason=error.reason, again_seconds=again_seconds)
                await pause(again_seconds)
                again_seconds = min(2 * again_seconds, AGAIN_SECONDS_MAX)
            else:
                again_seconds = AGAIN_SECONDS
                await pause(EVERY_SECONDS)

    async def keep(self) -> None:
        """One pass. Ends early while another process is at it; DATABASE_BUSY when somebody was in the way."""
        try:
            await self._make()
            await self._tell()
            if now := await self._believed_time():
                await self._drop(now)
                for name, expire in self._expire.items():
                    await self._delete(now, name, expire)
        except _NotOurTurnError:
            return
        self._metrics.partitions_kept_time.set(self._clock().timestamp())

    async def _make(self) -> None:
        now = self._clock()
        month = partitions.first_month_kept(now, self._retention_days)
        last = partitions.month_after(now.astimezone(UTC).date().replace(day=1), MONTHS_AHEAD)
        while month <= last:
            async with self._turn() as tx:
                made = await partitions.ensure_partitions(tx, month, 1)
            if made:
                _log.info("partitions_made", month=f"{month:%Y-%m}", partitions=made)
            month = partitions.month_after(month, 1)

    async def _tell(self) -> None:
        async with self._database.read() as tx:
            states = await partitions.partition_states(tx)
        for state in states:
            self._metrics.partition_default_rows.labels(state.parent).set(state.default_rows)
            if state.made_until:
                until = datetime(state.made_until.year, state.made_until.month, 1, tzinfo=UTC)
                self._metrics.partitions_until_time.labels(state.parent).set(until.timestamp())

    async def _believed_time(self) -> datetime | None:
        """None while the clock may be wrong."""
        moment = Moment(self._clock(), self._timer())
        set_ahead = moment.set_ahead_since(self._last) if self._last else None
        async with self._turn() as tx:
            last = await retention_clock.last_reading(tx)
            reading = last.then(moment.time, set_ahead) if last else retention_clock.Reading(moment.time)
            differs = await retention_clock.differs_from_database(tx, moment.time)
            await retention_clock.tell(tx, last, reading, f"service:{self._database.slice_name}")
        self._last = moment
        is_held = differs or reading.held_since is not None
        self._metrics.set_degraded(HELD, is_held)
        if is_held:
            _log.error(HELD, clock=str(moment.time), since=str(reading.held_since), differs_from_database=differs)
            return None
        return moment.time

    async def _drop(self, now: datetime) -> None:
        first_kept = partitions.first_month_kept(now, self._retention_days)
        while True:
            async with self._turn() as tx:
                dropped = await partitions.drop_partitions(tx, first_kept)
                if dropped is None:
                    return
                await append_audit(
                    tx,
                    user_id=None,
                    actor=f"service:{self._database.slice_name}",
                    action="retention.drop_partition",
                    resource_type="partition",
                    resource_id=dropped,
                )
            self._metrics.partitions_dropped.inc()
            _log.info("partition_dropped", partition=dropped)

    async def _delete(self, now: datetime, name: str, expire: Expire) -> None:
        before = partitions.first_uuid7(partitions.first_month_kept(now, self._retention_days))
        while True:
            async with self._turn() as tx:
                session_ids = await expire(tx, before)
                if not session_ids:
                    return
                months = Counter(map(_month, session_ids))
                for month, count in sorted(months.items()):
                    await append_audit(
                        tx,
                        user_id=None,
                        actor=f"service:{self._database.slice_name}",
                        action=f"retention.delete_{name}",
                        resource_type="month",
                        resource_id=month,
                        metadata={name: count},
                    )
            if name == SESSIONS:
                self._metrics.sessions_expired.inc(len(session_ids))
            _log.info(f"{name}_expired", count=len(session_ids), months=sorted(months))

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[Transaction]:
        async with self._database.transaction() as tx:
            if not await tx.scalar(_TRY_TURN):
                raise _NotOurTurnError
            yield tx


def _month(session_id: UUID) -> str:
    """Of any id that is less than a real one, also of one that isn't a UUIDv7."""
    return f"{EPOCH + timedelta(milliseconds=session_id.int >> 80):%Y-%m}"
