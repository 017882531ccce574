"""Seals in memory what a thin client sent as plain text. What the edge sealed is kept as it came."""

from typing import NamedTuple
from uuid import UUID

from quietus_edge.sealing import SealingKey, seal
from services.ingest.vocabulary import TranscriptState


class Sealed(NamedTuple):
    """What a sealed column holds, zero bytes unless SEALED, and the state beside it."""

    content: bytes
    state: TranscriptState


NOT_KEPT = Sealed(b"", TranscriptState.NOT_KEPT)
NO_KEY = Sealed(b"", TranscriptState.NO_KEY)


def seal_for(key: SealingKey | None, plaintext: str, *, table: str, user_id: UUID, row_id: UUID) -> Sealed:
    """Sealed for one place: this table, person and row. Without a key the words are discarded."""
    if key is None:
        return NO_KEY
    return Sealed(seal(plaintext, key, table=table, user_id=user_id, row_id=row_id), TranscriptState.SEALED)
