"""Folds fusion's events, each person's in the order of fusion's feed, upon the facts that ingest told of them."""

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from uuid import UUID

from libs.common.db.database import Transaction
from services.patterns.facts import FusedBatch, SettledSession
from services.patterns.interface import DEFAULT_STRUCTURE
from services.patterns.method import Method
from services.patterns.person import Known, Person
from services.patterns.records import RiskAssessed
from services.patterns.rules import Rules
from services.patterns.service.history import Histories, History, read
from services.patterns.session import Session, is_summarised_within, with_batch, with_end
from services.patterns.store import assessments, interfaces, patterns, results, sessions, standings
from services.patterns.telling import told_event

Fused = FusedBatch | SettledSession

# Results that are read, held and summarised before everything else has its turn: some 50 ms.
SUMMARISED_AT_ONCE = 5_000


@dataclass(frozen=True, slots=True)
class Ready:
    """An event whose facts are there: all of ingest's batches up to `ordinal`, and no later one, count for it."""

    event: Fused
    ordinal: int


@dataclass(frozen=True, slots=True)
class _Touched:
    """A session as it is before its next events."""

    session_id: UUID
    session: Session | None
    ready: Sequence[Ready]
    is_summarised: bool

    @property
    def results_seen(self) -> int:
        return self.session.results_seen if self.session else 0

    @property
    def facts_through(self) -> int:
        newest = max(one.ordinal for one in self.ready)
        return max(newest, self.session.facts_ordinal) if self.session else newest


class Derivation:
    """The people concerned are locked by the caller's transaction."""

    def __init__(self, method: Method, rules: Rules) -> None:
        self._method = method
        self._rules = rules
        self._histories = Histories()

    async def fold(self, tx: Transaction, ready: Mapping[UUID, Sequence[Ready]], names: Mapping[UUID, str]) -> None:
        """`ready`: events of each person in order. `names`: their anonymous ids. Statements grow with what is
        summarised, not with people."""
        people = await self._people(tx, ready)
        touched = {user_id: _touched(person, ready[user_id]) for user_id, person in people.items()}
        for some in _portions(touched):
            histories = await self._read_histories(tx, [one for user_id in some for one in touched[user_id]])
            for user_id in some:
                for one in ready[user_id]:
                    self._fold_one(people[user_id], one, histories[one.event.session_id])
            for history in histories.values():
                self._histories.give_back(history)
            await asyncio.sleep(0)
        everybodys = chain.from_iterable(ready.values())
        await results.keep(tx, [one.event for one in everybodys if isinstance(one.event, FusedBatch)])
        await self._keep(tx, list(people.values()))
        tx.append_to_outbox(
            [told_event(told, names[user_id]) for user_id, person in people.items() for told in person.folded.told]
        )

    async def _people(self, tx: Transaction, ready: Mapping[UUID, Sequence[Ready]]) -> dict[UUID, Person]:
        touched = {user_id: {one.event.session_id for one in events} for user_id, events in ready.items()}
        windows = await sessions.windows(tx, touched, self._method.baseline.window_sessions)
        newest = [max(window) for window in windows.values() if window]
        stand = await standings.of_sessions(tx, {*newest, *chain.from_iterable(touched.values())})
        versions = await standings.pattern_versions(tx, ready)
        shown = await standings.interfaces(tx, ready)
        people = {}
        for user_id in sorted(ready):
            number, structure = shown.get(user_id, (0, DEFAULT_STRUCTURE))
            known = Known(
                sessions=windows[user_id],
                standings=stand,
                pattern_version=versions.get(user_id, 0),
                interface_number=number,
                structure=structure,
            )
            people[user_id] = Person(user_id, known, self._method, self._rules)
        return people

    async def _read_histories(self, tx: Transaction, touched: Sequence[_Touched]) -> dict[UUID, History]:
        """With all that their summaries will need."""
        histories = {one.session_id: self._histories.take(one.session_id, one.results_seen) for one in touched}
        await read(tx, histories, {one.session_id: one.facts_through for one in touched if one.is_summarised})
        return histories

    def _fold_one(self, person: Person, one: Ready, history: History) -> None:
        session = person.session(one.event.session_id)
        match one.event:
            case FusedBatch():
                history.add(one.event)
                session = with_batch(session, one.event, one.ordinal)
            case SettledSession() if session is not None:
                session = with_end(session, one.event, one.ordinal)
            case _:
                return  # It ended before anything was fused: there is nothing to learn from it.
        if session.summary_due:
            summary = history.summary(session, distressed_score=self._method.pattern.distressed_score)
            session = session.summarised(summary)
        person.fold(session, one.event.receive_time, settling=isinstance(one.event, SettledSession))

    async def _keep(self, tx: Transaction, people: Sequence[Person]) -> None:
        """Only what there is: most batches change a session's state and nothing else."""
        folded = [person.folded for person in people]
        await sessions.keep(tx, [session for one in folded for session in one.sessions.values()])
        received = {
            told.record.session_id: told.receive_time
            for one in folded
            for told in one.told
            if isinstance(told, RiskAssessed)
        }
        if assessed := [record for one in folded for record in one.assessments.values()]:
            await assessments.keep(tx, [(record, received[record.session_id]) for record in assessed])
        for person in people:
            if baselines := person.folded.baselines.values():
                await assessments.keep_baselines(tx, person.user_id, baselines, person.folded.established)
        if made := [record for one in folded for record in one.patterns]:
            await patterns.keep(tx, made)
        if shown := [record for one in folded for record in one.interfaces]:
            await interfaces.keep(tx, shown, [change for one in folded for change in one.changes])


def _touched(person: Person, ready: Sequence[Ready]) -> list[_Touched]:
    by_session: defaultdict[UUID, list[Ready]] = defaultdict(list)
    for one in ready:
        by_session[one.event.session_id].append(one)
    touched = []
    for session_id, those in by_session.items():
        session = person.session(session_id)
        is_summarised = is_summarised_within(session, [one.event for one in those])
        touched.append(_Touched(session_id, session, those, is_summarised))
    return touched


def _portions(touched: Mapping[UUID, Sequence[_Touched]]) -> Iterator[list[UUID]]:
    """People whose summaries together rest on about as many results as may be held; but one at least."""
    portion: list[UUID] = []
    held = 0
    for user_id, those in touched.items():
        portion.append(user_id)
        held += sum(one.results_seen for one in those if one.is_summarised)
        if held >= SUMMARISED_AT_ONCE:
            yield portion
            portion, held = [], 0
    if portion:
        yield portion
