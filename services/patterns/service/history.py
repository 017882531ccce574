"""The chunks of one session while events of it are folded: read once, however many of these ask for a summary."""

from uuid import UUID

from libs.common.db.database import Transaction
from services.patterns.facts import ChunkFeatures, FusedBatch, FusedChunk
from services.patterns.session import Session
from services.patterns.store import inputs, results
from services.patterns.summary import Summary, summarise


class History:
    """What the transaction has folded and not kept yet comes before what the store has."""

    def __init__(self) -> None:
        self._chunks: dict[UUID, FusedChunk] = {}
        self._features: list[tuple[int, ChunkFeatures]] | None = None

    def add(self, batch: FusedBatch) -> None:
        self._chunks |= {chunk.chunk_id: chunk for chunk in batch.chunks}

    async def summary(self, tx: Transaction, session: Session, *, distressed_score: float) -> Summary:
        if self._features is None:
            kept = await results.of_session(tx, session.session_id)
            self._chunks = {chunk.chunk_id: chunk for chunk in kept} | self._chunks
            self._features = await inputs.features_of(tx, session.session_id)
        features = [one for ordinal, one in self._features if ordinal <= session.facts_ordinal]
        return summarise(list(self._chunks.values()), features, distressed_score=distressed_score)
