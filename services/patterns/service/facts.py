"""Keeps what ingest tells, and gives each batch its place."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from libs.common.db.database import Transaction
from services.patterns.facts import ChunkFeatures
from services.patterns.store import inputs


@dataclass(frozen=True, slots=True)
class IngestedBatch:
    """The accepted part of a client batch; `features` of its chunks that measured anything."""

    user_id: UUID
    session_id: UUID
    batch_number: int
    features: Sequence[ChunkFeatures]


@dataclass(frozen=True, slots=True)
class IngestedEnd:
    """A session was ended."""

    user_id: UUID
    session_id: UUID


Ingested = IngestedBatch | IngestedEnd


async def keep_ingested(tx: Transaction, events: Sequence[Ingested]) -> None:
    """A batch's place is its ordinal in ingest's feed, which is the same however the feeds interleave; a client's own
    numbers may repeat or go back."""
    told = await inputs.batches_told(tx, {event.session_id for event in events})
    sessions: dict[UUID, inputs.SessionInputs] = {}
    batches = []
    for event in events:
        session = sessions.setdefault(
            event.session_id,
            inputs.SessionInputs(event.session_id, event.user_id, told.get(event.session_id, 0)),
        )
        if isinstance(event, IngestedEnd):
            session.end_ordinal = session.batches
            continue
        session.batches += 1
        batches.append(
            inputs.BatchRow(event.session_id, event.user_id, event.batch_number, session.batches, event.features)
        )
    await inputs.keep(tx, sessions.values(), batches)
