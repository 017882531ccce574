"""What becomes of each prediction of a group: new, a duplicate, or a conflict. Whichever came first stands."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias
from uuid import UUID

from services.ingest.checks import Reason
from services.ingest.content import Chunk, Modality

# Session id and chunk id, 32 bytes.
ChunkKey: TypeAlias = bytes
Interval: TypeAlias = tuple[int, int]


@dataclass(slots=True)
class Candidate:
    """A prediction that passed its checks. `row` is what the store would write of it."""

    index: int
    modality: Modality
    chunk: Chunk
    digest: bytes
    row: bytes


@dataclass(frozen=True, slots=True, order=True)
class Refusal:
    index: int
    field: str
    reason: Reason


@dataclass(frozen=True, slots=True)
class SessionKey:
    session_id: UUID
    user_id: UUID
    anonymous_id: str


@dataclass(frozen=True, slots=True)
class Batch:
    """A client batch on its way. `content` is its serialised message, normalised, refused predictions included."""

    session: SessionKey
    number: int
    receive_time: datetime
    content: bytes
    candidates: Sequence[Candidate]
    refusals: Sequence[Refusal]

    @property
    def size(self) -> int:
        """Predictions that the client sent."""
        return len(self.candidates) + len(self.refusals)


@dataclass(frozen=True, slots=True)
class Outcome:
    batch_number: int
    accepted: int
    duplicates: int = 0
    refusals: Sequence[Refusal] = ()

    @property
    def size(self) -> int:
        return self.accepted + self.duplicates + len(self.refusals)

    @property
    def whole(self) -> bool:
        return not self.duplicates and not self.refusals


@dataclass(frozen=True, slots=True)
class Stored:
    """What was kept before of the chunks that a group touches, modality by modality."""

    digests: Mapping[Modality, Mapping[ChunkKey, bytes]] = field(default_factory=dict)
    intervals: Mapping[ChunkKey, Interval] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Accepted:
    """The new predictions of one batch, at least one."""

    batch: Batch
    candidates: Sequence[Candidate]


class Ledger:
    """Decides batch by batch, and remembers what it accepted."""

    def __init__(self, stored: Stored) -> None:
        self.intervals = dict(stored.intervals)
        self.digests = {modality: dict(stored.digests.get(modality, {})) for modality in Modality}
        self.rows: dict[Modality, list[bytes]] = {modality: [] for modality in Modality}
        self.accepted: list[Accepted] = []

    def decide(self, batch: Batch) -> Outcome:
        session_id = batch.session.session_id.bytes
        accepted: list[Candidate] = []
        refusals = list(batch.refusals)
        duplicates = 0
        for candidate in batch.candidates:
            chunk = candidate.chunk
            key = session_id + chunk.chunk_id
            digests = self.digests[candidate.modality]
            if key in digests:
                if digests[key] == candidate.digest:
                    duplicates += 1
                else:
                    refusals.append(Refusal(candidate.index, candidate.modality.name.lower(), Reason.CONFLICT))
                continue
            interval = chunk.capture_start, chunk.capture_end
            if self.intervals.setdefault(key, interval) != interval:
                refusals.append(Refusal(candidate.index, "capture_end_time", Reason.CHUNK_INTERVAL_CONFLICT))
                continue
            digests[key] = candidate.digest
            self.rows[candidate.modality].append(candidate.row)
            accepted.append(candidate)
        if accepted:
            self.accepted.append(Accepted(batch, accepted))
        return Outcome(batch.number, len(accepted), duplicates, sorted(refusals))

    def unseen(self, modality: Modality) -> dict[ChunkKey, Interval]:
        """Chunks that the group touches without this modality: their interval may stand in its table."""
        digests = self.digests[modality]
        return {key: interval for key, interval in self.intervals.items() if key not in digests}
