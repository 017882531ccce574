"""What patterns does with the feeds of ingest and fusion."""

from collections.abc import Sequence
from uuid import UUID

from libs.common.db.database import Transaction
from libs.common.feed.handler import FeedEvent, Read, UnknownEvent
from quietus.fusion.v1.events_pb2 import Event as FusionEvent
from quietus.ingest.v1.events_pb2 import Event as IngestEvent
from services.patterns.reading import chunk_features, fused
from services.patterns.service.facts import Ingested, IngestedBatch, IngestedEnd, keep_ingested
from services.patterns.service.gate import Arrival, Gate
from services.patterns.store.people import lock_people


class FusionHandler:
    """A FeedHandler of fusion's feed: folds results into assessments, patterns and interfaces."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def read(self, event: bytes) -> Read:
        told = FusionEvent.FromString(event)
        return Read(_person(told)[0], told)

    async def apply(self, tx: Transaction, events: Sequence[FeedEvent]) -> None:
        told: list[FusionEvent] = [event.content for event in events]
        names = await lock_people(tx, dict(_person(one) for one in told))
        arrivals = [Arrival(fused(one), event.data) for one, event in zip(told, events, strict=True)]
        await self._gate.fused_arrived(tx, arrivals, names)


class IngestHandler:
    """A FeedHandler of ingest's feed: keeps facts, and folds what had waited for them."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def read(self, event: bytes) -> Read:
        told = IngestEvent.FromString(event)
        return Read(_person(told)[0], told)

    async def apply(self, tx: Transaction, events: Sequence[FeedEvent]) -> None:
        told: list[IngestEvent] = [event.content for event in events]
        names = await lock_people(tx, dict(_person(one) for one in told))
        await keep_ingested(tx, [fact for one in told if (fact := _ingested(one)) is not None])
        await self._gate.facts_arrived(tx, names)


def _person(event: FusionEvent | IngestEvent) -> tuple[UUID, str]:
    """user_id and anonymous_id, which every kind of both feeds has."""
    kind = event.WhichOneof("event")
    if kind is None:
        raise UnknownEvent
    about = getattr(event, kind)
    return UUID(about.user_id), about.anonymous_id


def _ingested(event: IngestEvent) -> Ingested | None:
    """None for a start and a voice session as a whole, from which nothing follows so far."""
    match event.WhichOneof("event"):
        case "predictions_committed":
            committed = event.predictions_committed
            return IngestedBatch(
                user_id=UUID(committed.user_id),
                session_id=UUID(committed.session_id),
                batch_number=committed.batch.batch_number,
                features=list(chunk_features(committed.batch)),
            )
        case "session_ended":
            return IngestedEnd(UUID(event.session_ended.user_id), UUID(event.session_ended.session_id))
        case _:
            return None
