"""What becomes of each prediction of a group: new, a duplicate, or a conflict. Whichever came first stands."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias
from uuid import UUID

from services.ingest.content.chunk import ID, INTERVAL
from services.ingest.vocabulary import Modality, Reason

# Session id and chunk id, 32 bytes.
ChunkKey: TypeAlias = bytes
# A prediction that passed its checks: its index in the batch, its modality, the fields of its chunk, its digest, its
# row as the store writes it. A bare tuple, since there is one for each prediction.
Candidate: TypeAlias = tuple[int, Modality, bytes, bytes, bytes]


@dataclass(frozen=True, slots=True)
class Refusal:
    index: int
    field: str
    reason: Reason


@dataclass(frozen=True, slots=True)
class Origin:
    """The session that sends, and the part of its events that is always the same."""

    session_id: bytes
    user_id: UUID
    event_head: bytes


class Batch(NamedTuple):
    """A client batch on its way.

    `receive_time` is in microseconds since 1970. `size_predictions` and `size_bytes` are what the client sent,
    `content` is the message, normalised and serialised; the refused predictions are in all three.
    """

    origin: Origin
    number: int
    receive_time: int
    size_predictions: int
    size_bytes: int
    content: bytes
    candidates: Sequence[Candidate]
    refusals: Sequence[Refusal]


class Outcome(NamedTuple):
    batch_number: int
    size_predictions: int
    accepted: int
    duplicates: int = 0
    refusals: Sequence[Refusal] = ()


@dataclass(frozen=True, slots=True)
class Stored:
    """What was kept before of the chunks that a group touches, modality by modality."""

    digests: Mapping[Modality, Mapping[ChunkKey, bytes]] = field(default_factory=dict)
    # The fields of the interval, as content.chunk makes them.
    intervals: Mapping[ChunkKey, bytes] = field(default_factory=dict)


# The new predictions of a batch, by their indexes; at least one.
Accepted: TypeAlias = tuple[Batch, list[int]]


class Ledger:
    """Decides batch by batch, and remembers what it accepted."""

    def __init__(self, stored: Stored, known_intervals: Mapping[ChunkKey, bytes]) -> None:
        """`known_intervals` are of chunks that need not be looked for: whichever interval stands, it is there."""
        self.intervals = dict(stored.intervals)
        self._known_intervals = known_intervals
        self.digests = {modality: dict(stored.digests.get(modality, {})) for modality in Modality}
        self.rows: dict[Modality, list[bytes]] = {modality: [] for modality in Modality}
        self.accepted: list[Accepted] = []

    def decide(self, batch: Batch) -> Outcome:
        session_id = batch.origin.session_id
        accepted: list[int] = []
        refusals = list(batch.refusals)
        duplicates = 0
        for index, modality, chunk, digest, row in batch.candidates:
            key, interval = session_id + chunk[ID], chunk[INTERVAL]
            digests = self.digests[modality]
            # The interval first: of a chunk that was committed lately it is known without a look, the digest isn't.
            if (self._known_intervals.get(key) or self.intervals.setdefault(key, interval)) != interval:
                refusals.append(Refusal(index, "capture_end_time", Reason.CHUNK_INTERVAL_CONFLICT))
            elif key in digests:
                if digests[key] == digest:
                    duplicates += 1
                else:
                    refusals.append(Refusal(index, modality.name.lower(), Reason.CONFLICT))
            else:
                digests[key] = digest
                self.rows[modality].append(row)
                accepted.append(index)
        if accepted:
            self.accepted.append((batch, accepted))
        return Outcome(batch.number, batch.size_predictions, len(accepted), duplicates, refusals)

    def unseen(self, modality: Modality) -> list[ChunkKey]:
        """Chunks that the group brings without this modality: another interval may stand in its table."""
        digests = self.digests[modality]
        return [key for key in self.intervals if key not in digests]
