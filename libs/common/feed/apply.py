"""Applies what came and moves the cursor, both in one transaction: each event counts exactly once, whatever crashes."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import structlog

from libs.common import failpoints
from libs.common.cancellation import end_if_cancelled
from libs.common.db.database import Database, Transaction
from libs.common.feed.cursor import CursorMovedError, move_cursor
from libs.common.feed.failure import Fault, fault_of, reason_to_park
from libs.common.feed.handler import FeedHandler
from libs.common.feed.inbox import ReceivedEvent
from libs.common.feed.parked import BEHIND, is_anything_parked, park, parked_among

_ATTEMPTS: Final = 3

_log = structlog.get_logger()


@dataclass(slots=True)
class Applier:
    """For one partition of one source."""

    database: Database
    source: str
    partition: int
    handler: FeedHandler
    # Where the cursor stood when nothing of the source was parked. Another process that parks moves the cursor, so that
    # nothing is for as long as it stands there; this one forgets it.
    _nothing_parked_at: int | None = field(default=None, init=False)

    async def apply(self, events: Sequence[ReceivedEvent], expected: int, position: int) -> int:
        """Applies the events and moves the cursor from expected to position; returns how many events were parked.

        What fails three times together is applied event by event, and only what fails then is parked.
        Raises CursorMovedError, and AppError UNAVAILABLE.
        """
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return await self._apply_together(events, expected, position)
            except CursorMovedError:
                raise
            except Exception as error:
                fault = fault_of(error)
                if fault is Fault.OUTAGE or (fault is Fault.CONTENTION and attempt == _ATTEMPTS):
                    raise
                _log.warning("feed batch failed", **self._place(position), attempt=attempt, exc_info=error)
                end_if_cancelled()
        return await self._apply_one_by_one(events, expected, position)

    @asynccontextmanager
    async def _transaction(self, expected: int, position: int) -> AsyncIterator[Transaction]:
        """What is written inside and the cursor's move: both are committed, or neither."""
        async with self.database.transaction() as tx:
            yield tx
            await move_cursor(tx, self.source, self.partition, expected, position)
            failpoints.hit("follower.before_commit")
        failpoints.hit("follower.after_commit")

    async def _apply_together(self, events: Sequence[ReceivedEvent], expected: int, position: int) -> int:
        behind: Sequence[ReceivedEvent] = ()
        async with self._transaction(expected, position) as tx:
            nothing_parked = self._nothing_parked_at == expected
            if not nothing_parked:
                parked = await parked_among(tx, self.source, {received.person for received in events})
                nothing_parked = not parked and not await is_anything_parked(tx, self.source)
                behind = [received for received in events if received.person in parked]
                await park(tx, self.source, self.partition, behind, BEHIND)
                events = [received for received in events if received.person not in parked]
            if events:
                await self.handler.apply(tx, [received.event for received in events])
        self._nothing_parked_at = position if nothing_parked else None
        return len(behind)

    async def _apply_one_by_one(self, events: Sequence[ReceivedEvent], expected: int, position: int) -> int:
        self._nothing_parked_at = None
        count = 0
        async with self._transaction(expected, position) as tx:
            parked = await parked_among(tx, self.source, {received.person for received in events})
            for received in events:
                reason = BEHIND if received.person in parked else await self._try(tx, received)
                if reason is not None:
                    await park(tx, self.source, self.partition, [received], reason)
                    parked.add(received.person)
                    count += 1
        return count

    async def _try(self, tx: Transaction, received: ReceivedEvent) -> str | None:
        """Why the event can't be applied; None when it was."""
        try:
            async with tx.savepoint():
                await self.handler.apply(tx, [received.event])
        except Exception as error:
            if fault_of(error, connection_lost=tx.driver.is_closed()) is not Fault.EVENT:
                raise
            reason = reason_to_park(error)
            _log.error("feed event parked", **self._place(received.event.position), reason=reason)
            return reason
        return None

    def _place(self, position: int) -> dict[str, str | int]:
        return {"source": self.source, "partition": self.partition, "position": position}
