"""Fusion's events wait here until ingest's facts of them are there, each person's in the order of fusion's feed.

Two followers bring the two feeds. Whoever closes a gap folds what was waiting behind it, so that any interleaving of
the feeds folds the same events in the same order upon the same facts. The person's lock serialises the two.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from libs.common.db.database import Transaction
from quietus.fusion.v1.events_pb2 import Event
from services.patterns.facts import FusedBatch, SettledSession
from services.patterns.reading import fused
from services.patterns.service.derivation import Derivation, Fused, Ready
from services.patterns.store import inputs, results

# Held at once, of all people together; but one of each.
WAITING_EVENTS = 256


@dataclass(frozen=True, slots=True)
class Arrival:
    """An event of fusion with the bytes that it came in."""

    event: Fused
    data: bytes


class Gate:
    def __init__(self, derivation: Derivation) -> None:
        self._derivation = derivation

    async def fused_arrived(self, tx: Transaction, arrivals: Iterable[Arrival], names: Mapping[UUID, str]) -> None:
        """Folds what is ready; the rest of a person's events waits, from the first that isn't."""
        by_person: defaultdict[UUID, list[Arrival]] = defaultdict(list)
        for arrival in arrivals:
            by_person[arrival.event.user_id].append(arrival)
        queueing = await results.who_waits(tx, list(by_person))
        ready = await self._leading(
            tx, {user: [one.event for one in those] for user, those in by_person.items() if user not in queueing}
        )
        behind = [(user, one.data) for user, those in by_person.items() for one in those[len(ready.get(user, ())) :]]
        if behind:
            await results.wait(tx, behind)
        await self._fold(tx, ready, names)

    async def facts_arrived(self, tx: Transaction, names: Mapping[UUID, str]) -> None:
        """Folds what had waited for these people's facts."""
        people: Collection[UUID] = names
        while people:
            people = await self._fold_waiting(tx, people, names)

    async def _fold_waiting(
        self, tx: Transaction, people: Collection[UUID], names: Mapping[UUID, str]
    ) -> Collection[UUID]:
        """The first events of each; returns of whom more may be ready."""
        at_once = max(1, WAITING_EVENTS // len(people))
        waiting = await results.waiting(tx, people, at_once)
        events = {user: [fused(Event.FromString(one.event)) for one in those] for user, those in waiting.items()}
        ready = await self._leading(tx, events)
        done = [one.sequence for user, those in ready.items() for one in waiting[user][: len(those)]]
        if done:
            await results.done_waiting(tx, done)
            await self._fold(tx, ready, names)
        return [user for user, those in ready.items() if len(those) == at_once]

    async def _leading(self, tx: Transaction, events: Mapping[UUID, Sequence[Fused]]) -> dict[UUID, list[Ready]]:
        """Each person's events up to the first whose facts are not there."""
        everybodys = [event for those in events.values() for event in those]
        batches = [_batch(event) for event in everybodys if isinstance(event, FusedBatch)]
        ends = [event.session_id for event in everybodys if isinstance(event, SettledSession)]
        ordinals = await inputs.ordinals(tx, batches) if batches else {}
        end_ordinals = await inputs.end_ordinals(tx, ends) if ends else {}

        ready: dict[UUID, list[Ready]] = {user: [] for user in events}
        for user, those in events.items():
            for event in those:
                if isinstance(event, FusedBatch):
                    ordinal = ordinals.get(_batch(event))
                else:
                    ordinal = end_ordinals.get(event.session_id)
                if ordinal is None:
                    break
                ready[user].append(Ready(event, ordinal))
        return ready

    async def _fold(self, tx: Transaction, ready: Mapping[UUID, Sequence[Ready]], names: Mapping[UUID, str]) -> None:
        if some := {user: events for user, events in ready.items() if events}:
            await self._derivation.fold(tx, some, names)


def _batch(event: FusedBatch) -> tuple[UUID, int]:
    return event.session_id, event.batch_number
