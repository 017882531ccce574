"""Words of a person on their way into a sealed column: sealed by the edge, or here in memory, or not kept at all."""

from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import UUID

from quietus_edge.sealing import SealingKey, seal
from services.ingest.digest import Part
from services.ingest.vocabulary import TranscriptState

# The length of the key id; of an HPKE message the encapsulated key, 32 bytes, and the tag, 16.
_ID_LENGTH_BYTES, _MESSAGE_MIN_BYTES = 2, 48
KEY_ID_MAX_BYTES = 64


class Sealed(NamedTuple):
    """What a sealed column holds, zero bytes unless SEALED, and the state beside it."""

    content: bytes
    state: TranscriptState


NOT_KEPT = Sealed(b"", TranscriptState.NOT_KEPT)
NO_KEY = Sealed(b"", TranscriptState.NO_KEY)


@dataclass(frozen=True, slots=True)
class Words:
    """What a client sent of the words of a row: sealed, or plain, or only why there are none."""

    sealed: bytes | None = None
    plain: str | None = field(default=None, repr=False)
    state: TranscriptState | None = None

    @property
    def is_contradictory(self) -> bool:
        """Whether the state says something else than what is there."""
        if self.sealed is not None:
            return self.state not in (None, TranscriptState.SEALED)
        return self.state is TranscriptState.SEALED or (self.plain is not None and self.state is not None)

    def digest_parts(self) -> tuple[Part, ...]:
        """Plain words are left out: what is stored must tell nothing of them, not even to who guesses them."""
        if self.plain is not None:
            return ("plain",)
        state = TranscriptState.SEALED if self.sealed is not None else self.state or TranscriptState.NOT_KEPT
        return state, self.sealed

    def seal_for(self, key: SealingKey | None, *, table: str, user_id: UUID, row_id: UUID) -> Sealed:
        """Plain words without a key are discarded."""
        if self.sealed is not None:
            return Sealed(self.sealed, TranscriptState.SEALED)
        if self.plain is not None:
            return seal_for(key, self.plain, table=table, user_id=user_id, row_id=row_id)
        return Sealed(b"", self.state or TranscriptState.NOT_KEPT)


def seal_for(key: SealingKey | None, plaintext: str, *, table: str, user_id: UUID, row_id: UUID) -> Sealed:
    """Sealed for one place: this table, person and row. Without a key the words are discarded."""
    if key is None:
        return NO_KEY
    return Sealed(seal(plaintext, key, table=table, user_id=user_id, row_id=row_id), TranscriptState.SEALED)


def looks_sealed(content: bytes) -> bool:
    """Whether the bytes have the shape of a key id and an HPKE message. Words that were sent by mistake hardly do."""
    length = int.from_bytes(content[:_ID_LENGTH_BYTES], "big")
    return 0 < length <= KEY_ID_MAX_BYTES and len(content) >= _ID_LENGTH_BYTES + length + _MESSAGE_MIN_BYTES
