"""Words of a row as the contract's messages hold them."""

from services.ingest.sealing import Words
from services.ingest.vocabulary import TRANSCRIPT_STATES, TranscriptState


def state_of(number: int) -> TranscriptState | None:
    return TranscriptState(TRANSCRIPT_STATES[number]) if number else None


def words_of(kind: str | None, sealed: bytes, plain: str, state: int) -> Words:
    """`kind` is the field of the oneof that is set."""
    if kind is None:
        return Words(state=state_of(state))
    if kind.startswith("sealed_"):
        return Words(sealed=sealed, state=state_of(state))
    return Words(plain=plain, state=state_of(state))
