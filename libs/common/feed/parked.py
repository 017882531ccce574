"""Events that could not be applied, and those of the same person behind them, in order."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from libs.common.db.database import Transaction
from libs.common.feed.inbox import ReceivedEvent

BEHIND = "behind an earlier event of the same person"

# The first parked event of each person is locked until the end of the transaction, so that a retry, which takes it
# away, and a follower, which parks behind it, never miss each other. By idx_parked_events_person.
_PARKED_AMONG = """
SELECT person FROM unnest($2::uuid[]) AS person CROSS JOIN LATERAL (
    SELECT FROM parked_events WHERE source = $1 AND user_id = person
    ORDER BY partition, position, index LIMIT 1 FOR KEY SHARE
) AS first
"""
_PARK = """
INSERT INTO parked_events (source, partition, position, index, user_id, event, commit_time, reason)
VALUES (:source, :partition, :position, :index, :user_id, :event, :commit_time, :reason)
"""
_FIRST_OF_EACH = """
SELECT DISTINCT ON (user_id) user_id, partition, position, index, reason, park_time,
       count(*) OVER (PARTITION BY user_id) AS events
FROM parked_events WHERE source = :source ORDER BY user_id, partition, position, index
"""
_LOCK_FIRST = """
SELECT partition, position, index, event, commit_time FROM parked_events
WHERE source = :source AND user_id = :person ORDER BY partition, position, index LIMIT 1 FOR UPDATE
"""
_OF_EVENT = "source = :source AND partition = :partition AND position = :position AND index = :index"


@dataclass(frozen=True, slots=True)
class ParkedPerson:
    """The first parked event of a person, and how many there are."""

    person: UUID
    partition: int
    position: int
    index: int
    reason: str
    park_time: datetime
    events: int


@dataclass(frozen=True, slots=True)
class ParkedEvent:
    partition: int
    position: int
    index: int
    event: bytes
    commit_time: datetime


async def parked_among(tx: Transaction, source: str, people: Collection[UUID]) -> set[UUID]:
    """Which of the people have events parked. To be asked before anything else in the transaction."""
    return {row["person"] for row in await tx.driver.fetch(_PARKED_AMONG, source, people)}


async def park(tx: Transaction, source: str, partition: int, events: Sequence[ReceivedEvent], reason: str) -> None:
    if not events:
        return
    rows = [
        {
            "source": source,
            "partition": partition,
            "position": received.event.position,
            "index": received.event.index,
            "user_id": received.person,
            "event": received.event.data,
            "commit_time": received.event.commit_time,
            "reason": reason,
        }
        for received in events
    ]
    await tx.execute(_PARK, rows)


async def count_parked(tx: Transaction, source: str) -> int:
    count: int = await tx.scalar("SELECT count(*) FROM parked_events WHERE source = :source", {"source": source})
    return count


async def is_anything_parked(tx: Transaction, source: str) -> bool:
    """However much it is, one row is looked for."""
    found: bool = await tx.scalar(
        "SELECT EXISTS (SELECT FROM parked_events WHERE source = :source)", {"source": source}
    )
    return found


async def first_of_each_person(tx: Transaction, source: str) -> list[ParkedPerson]:
    """Oldest first."""
    rows = [ParkedPerson(*row) for row in await tx.fetch_all(_FIRST_OF_EACH, {"source": source})]
    return sorted(rows, key=lambda parked: parked.park_time)


async def lock_first(tx: Transaction, source: str, person: UUID) -> ParkedEvent | None:
    """None when the person has nothing parked."""
    row = await tx.fetch_one(_LOCK_FIRST, {"source": source, "person": person})
    if row is None:
        return None
    return ParkedEvent(*row)


async def unpark(tx: Transaction, source: str, parked: ParkedEvent) -> None:
    await tx.execute(f"DELETE FROM parked_events WHERE {_OF_EVENT}", _key(source, parked))  # noqa: S608


async def give_reason(tx: Transaction, source: str, parked: ParkedEvent, reason: str) -> None:
    values = {**_key(source, parked), "reason": reason}
    await tx.execute(f"UPDATE parked_events SET reason = :reason WHERE {_OF_EVENT}", values)  # noqa: S608


def _key(source: str, parked: ParkedEvent) -> dict[str, str | int]:
    return {"source": source, "partition": parked.partition, "position": parked.position, "index": parked.index}
