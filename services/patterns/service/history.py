"""The chunks of sessions, for their summaries: read once, and kept for as long as a session goes on."""

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
        self._is_read = results_seen == 0
        self._chunks: dict[UUID, FusedChunk] = {}
        # With the place of their batch; those of all batches up to `_features_through`, and maybe of later ones.
        self._features: list[tuple[int, ChunkFeatures]] = []
        self._features_through = 0

    @property
    def size(self) -> int:
        return len(self._chunks) + len(self._features)

    def add(self, batch: FusedBatch) -> None:
        """The store doesn't have it yet."""
        self._chunks |= {chunk.chunk_id: chunk for chunk in batch.chunks}
        self.results_seen += len(batch.chunks)

    async def summary(self, tx: Transaction, session: Session, *, distressed_score: float) -> Summary:
        """`session` as it is after what was added."""
        if not self._is_read:
            kept = await results.of_session(tx, self.session_id)
            self._chunks = {chunk.chunk_id: chunk for chunk in kept} | self._chunks
            self._is_read = True
        if self._features_through < session.facts_ordinal:
            new = await inputs.features_after(tx, self.session_id, self._features_through)
            self._features += new
            # Ingest's facts are kept in their order: nothing more comes before what is there.
            self._features_through = max([session.facts_ordinal, *(ordinal for ordinal, _ in new)])
        features = [one for ordinal, one in self._features if ordinal <= session.facts_ordinal]
        return summarise(list(self._chunks.values()), features, distressed_score=distressed_score)


class Histories:
    """Of the sessions that were folded lately.

    A person's events are folded in one order, whoever does it and however often it fails. So a history that has seen as
    many results as the session's state is that state's, and any other is forgotten.
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
        if history.size > KEPT_OF_ONE_MAX:
            return
        self._kept[history.session_id] = history
        self._size += history.size
        while self._size > KEPT_MAX:
            oldest = self._kept.pop(next(iter(self._kept)))
            self._size -= oldest.size
