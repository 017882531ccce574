"""The way back for parked events, once the cause is mended."""

from dataclasses import dataclass
from uuid import UUID

from libs.common.db.database import Database
from libs.common.feed.failure import Fault, fault_of, reason_to_park
from libs.common.feed.handler import FeedHandler, read_event
from libs.common.feed.parked import ParkedEvent, first_of_each_person, give_reason, lock_first, unpark


@dataclass(frozen=True, slots=True)
class Retried:
    """How many events were applied, and how many people still have some that can't be."""

    applied: int
    people_left: int


async def retry_parked(database: Database, source: str, handler: FeedHandler) -> Retried:
    """Applies each person's parked events in order, one transaction each, up to the first that fails again.

    The follower may run meanwhile. Raises AppError UNAVAILABLE when the database is away.
    """
    async with database.read() as tx:
        people = [parked.person for parked in await first_of_each_person(tx, source)]
    applied = people_left = 0
    for person in people:
        count, drained = await _retry_person(database, source, handler, person)
        applied += count
        people_left += not drained
    return Retried(applied, people_left)


async def _retry_person(database: Database, source: str, handler: FeedHandler, person: UUID) -> tuple[int, bool]:
    count = 0
    while True:
        parked: ParkedEvent | None = None
        try:
            async with database.transaction() as tx:
                parked = await lock_first(tx, source, person)
                if parked is None:
                    return count, True
                event = read_event(handler, parked.position, parked.index, parked.event, parked.commit_time)
                await handler.apply(tx, [event])
                await unpark(tx, source, parked)
        except Exception as error:
            if parked is None or fault_of(error) is not Fault.EVENT:
                raise
            async with database.transaction() as tx:
                await give_reason(tx, source, parked, reason_to_park(error))
            return count, False
        count += 1
