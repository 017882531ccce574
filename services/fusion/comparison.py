"""What another version of the model would change, counted chunk by chunk and session by session."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from services.fusion.vocabulary import Level

MOST_EXAMPLES = 20

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
class Tally:
    """Whole sessions."""

    sessions: int = 0
    chunks: int = 0
    expired_sessions: int = 0
    chunk_levels: Counter[Change] = field(default_factory=Counter)
    session_levels: Counter[Change] = field(default_factory=Counter)
    score_change: float = 0.0
    session_score_change: float = 0.0
    examples: list[Example] = field(default_factory=list)

    def add(self, session: SessionTally) -> None:
        if session.is_expired:
            self.expired_sessions += 1
            return
        self.sessions += 1
        self.chunks += session.chunks
        self.chunk_levels += session.chunk_levels
        self.session_levels[session.highest] += 1
        self.score_change += session.score_change
        self.session_score_change += session.session_score_change
        if session.highest[0] is not session.highest[1] and session.first_different is not None:
            self._keep(Example(session.session_id, session.first_different, session.highest))

    def _keep(self, example: Example) -> None:
        if sum(kept.levels == example.levels for kept in self.examples) < MOST_EXAMPLES:
            self.examples.append(example)

    @property
    def newly_alerting(self) -> int:
        """Sessions that would reach a level that opens an alert, and didn't."""
        return self._count(lambda stored, candidate: stored < Level.HIGH <= candidate)

    @property
    def no_longer_alerting(self) -> int:
        return self._count(lambda stored, candidate: candidate < Level.HIGH <= stored)

    def _count(self, holds: Callable[[Level, Level], bool]) -> int:
        return sum(count for change, count in self.session_levels.items() if holds(*change))

    @property
    def mean_score_change(self) -> float:
        return self.score_change / self.chunks if self.chunks else 0.0

    @property
    def mean_session_score_change(self) -> float:
        return self.session_score_change / self.chunks if self.chunks else 0.0


def matrix(counts: Counter[Change]) -> Sequence[tuple[Change, int]]:
    """All sixteen counts, by stored level, then by the candidate's."""
    return [((stored, candidate), counts[stored, candidate]) for stored in Level for candidate in Level]
