"""What another version of the model would change, counted chunk by chunk and session by session."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

from services.fusion.vocabulary import Level

MOST_EXAMPLES = 20
# Nothing of everybody is told that rests on fewer people.
PEOPLE_MIN = 10

Change = tuple[Level, Level]  # as it is stored, as it would be


@dataclass(frozen=True, slots=True)
class Example:
    session_id: UUID
    chunk_id: UUID  # the first one whose level differs
    levels: Change  # the highest that the session reached, and would reach


@dataclass(frozen=True, slots=True)
class ComparedChunk:
    """The same chunk twice, as it is stored and as it would be. Scores are in [0, 1]."""

    chunk_id: UUID
    levels: Change
    scores: tuple[float, float]  # of the chunk alone
    session_scores: tuple[float, float]  # of the session after it


@dataclass(slots=True)
class SessionTally:
    """One session, as far as it was read; at least one chunk counts."""

    session_id: UUID
    user_id: UUID
    is_expired: bool = False  # some inputs are gone: it can't be compared
    chunks: int = 0
    chunk_levels: Counter[Change] = field(default_factory=Counter)
    score_change: float = 0.0
    session_score_change: float = 0.0
    highest: Change = (Level.LOW, Level.LOW)
    first_different: UUID | None = None

    def add(self, chunk: ComparedChunk) -> None:
        """In the order of capture."""
        stored, candidate = chunk.levels
        self.chunks += 1
        self.chunk_levels[chunk.levels] += 1
        self.score_change += abs(chunk.scores[1] - chunk.scores[0])
        self.session_score_change += abs(chunk.session_scores[1] - chunk.session_scores[0])
        self.highest = max(self.highest[0], stored), max(self.highest[1], candidate)
        if self.first_different is None and stored is not candidate:
            self.first_different = chunk.chunk_id


@dataclass(slots=True)
class SomePeople:
    """Different people, PEOPLE_MIN at most: enough to know whether there are so many."""

    user_ids: set[UUID] = field(default_factory=set)

    def add(self, user_id: UUID) -> None:
        if not self.are_enough:
            self.user_ids.add(user_id)

    @property
    def are_enough(self) -> bool:
        return len(self.user_ids) >= PEOPLE_MIN


@dataclass(slots=True)
class LevelCounts:
    """How many there are of each change, and whose they are."""

    counts: Counter[Change] = field(default_factory=Counter)
    people: defaultdict[Change, SomePeople] = field(default_factory=lambda: defaultdict(SomePeople))

    def add(self, user_id: UUID, counts: Mapping[Change, int]) -> None:
        self.counts.update(counts)
        for change in counts:
            self.people[change].add(user_id)

    def withheld(self) -> frozenset[Change]:
        """Changes whose counts rest on too few people, and with them the smallest of the others: what the total has
        beyond the counts that are told then rests on enough people too.
        """
        told = {change for change, people in self.people.items() if people.are_enough}
        if told and len(told) < len(self.people):
            told.remove(min(told, key=lambda change: (self.counts[change], change)))
        return frozenset(self.people.keys() - told)


@dataclass(slots=True)
class Tally:
    """Whole sessions."""

    sessions: int = 0
    chunks: int = 0
    expired_sessions: int = 0
    people: SomePeople = field(default_factory=SomePeople)
    chunk_levels: LevelCounts = field(default_factory=LevelCounts)
    session_levels: LevelCounts = field(default_factory=LevelCounts)
    score_change: float = 0.0
    session_score_change: float = 0.0
    examples: list[Example] = field(default_factory=list)

    def add(self, session: SessionTally) -> None:
        if session.is_expired:
            self.expired_sessions += 1
            return
        self.sessions += 1
        self.chunks += session.chunks
        self.people.add(session.user_id)
        self.chunk_levels.add(session.user_id, session.chunk_levels)
        self.session_levels.add(session.user_id, {session.highest: 1})
        self.score_change += session.score_change
        self.session_score_change += session.session_score_change
        if session.highest[0] is not session.highest[1] and session.first_different is not None:
            self._keep(Example(session.session_id, session.first_different, session.highest))

    def _keep(self, example: Example) -> None:
        if sum(kept.levels == example.levels for kept in self.examples) < MOST_EXAMPLES:
            self.examples.append(example)


@dataclass(frozen=True, slots=True)
class Report:
    """The tally is the comparison's own and goes on: read it before the next report."""

    tally: Tally
    total_sessions: int
    total_people: int
    done: bool

    @property
    def is_of_many(self) -> bool:
        """Of enough people to be told as counts, of whom enough were compared once it is done."""
        return self.total_people >= PEOPLE_MIN and (self.tally.people.are_enough or not self.done)
