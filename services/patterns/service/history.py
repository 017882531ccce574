"""The chunks of sessions, for their summaries: those that were folded last are kept."""

from collections.abc import Iterable, Mapping
from uuid import UUID

from libs.common.db.database import Transaction
from services.patterns.facts import ChunkFeatures, FusedBatch, FusedChunk
from services.patterns.session import Session
from services.patterns.store import inputs, results
from services.patterns.summary import Summary, summarise

# Results and features, of all sessions together; each is about a kilobyte.
KEPT_MAX = 50_000
# A session that has more isn't kept: all others would have to go.
KEPT_OF_ONE_MAX = KEPT_MAX // 8


class History:
    """Of one session, while its person is locked."""

    def __init__(self, session_id: UUID, results_seen: int) -> None:
        """`results_seen` of the session's state: those are in the store."""
        self.session_id = session_id
        self.results_seen = results_seen
        self.lacks_chunks = results_seen > 0
        # The place of a batch: the features of no batch up to it are lacking.
        self.features_through = 0
        self._chunks: dict[UUID, FusedChunk] = {}
        self._features: list[tuple[int, ChunkFeatures]] = []

    @property
    def size(self) -> int:
        return len(self._chunks) + len(self._features)

    def add(self, batch: FusedBatch) -> None:
        """The store doesn't have it yet."""
        self._chunks |= {chunk.chunk_id: chunk for chunk in batch.chunks}
        self.results_seen += len(batch.chunks)

    def take_chunks(self, kept: Iterable[FusedChunk]) -> None:
        """All that the store has, before anything is added."""
        self._chunks = {chunk.chunk_id: chunk for chunk in kept}
        self.lacks_chunks = False

    def take_features(self, more: list[tuple[int, ChunkFeatures]], through: int) -> None:
        """What the store has behind `features_through`; ingest's facts are kept in their order."""
        self._features += more
        self.features_through = max([through, *(ordinal for ordinal, _ in more)])

    def summary(self, session: Session, *, distressed_score: float) -> Summary:
        """`session` as it is after what was added."""
        features = [one for ordinal, one in self._features if ordinal <= session.facts_ordinal]
        return summarise(list(self._chunks.values()), features, distressed_score=distressed_score)


async def read(tx: Transaction, histories: Mapping[UUID, History], through: Mapping[UUID, int]) -> None:
    """What these sessions' summaries need: all chunks, and the features of batches through a place."""
    behind = {one: histories[one].features_through for one in through if histories[one].features_through < through[one]}
    if without_chunks := [one for one in through if histories[one].lacks_chunks]:
        chunks = await results.of_sessions(tx, without_chunks)
        for session_id in without_chunks:
            histories[session_id].take_chunks(chunks.get(session_id, ()))
    if behind:
        features = await inputs.features_after(tx, behind)
        for session_id in behind:
            histories[session_id].take_features(features.get(session_id, []), through[session_id])


class Histories:
    """Of the sessions that were folded last, settled ones too.

    A person's events are folded in one order, whoever does it and however often it fails. So a history that has seen as
    many results as the session's state is that state's, and any other is forgotten. What has expired in the store may
    still be in one.
    """

    def __init__(self) -> None:
        # The one that was folded last is last.
        self._kept: dict[UUID, History] = {}
        self._size = 0

    def take(self, session_id: UUID, results_seen: int) -> History:
        """It is the caller's until it is given back, or lost."""
        history = self._kept.pop(session_id, None)
        if history is not None:
            self._size -= history.size
            if history.results_seen == results_seen:
                return history
        return History(session_id, results_seen)

    def give_back(self, history: History) -> None:
        if before := self._kept.pop(history.session_id, None):
            self._size -= before.size
        if history.size > KEPT_OF_ONE_MAX:
            return
        self._kept[history.session_id] = history
        self._size += history.size
        while self._size > KEPT_MAX:
            oldest = self._kept.pop(next(iter(self._kept)))
            self._size -= oldest.size
