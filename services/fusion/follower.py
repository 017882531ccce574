"""What fusion does with ingest's feed: it fuses client batches and says when a session is settled."""

from collections.abc import Sequence
from uuid import UUID

from libs.common.db.database import Transaction
from libs.common.feed.handler import FeedEvent, UnknownEvent
from libs.common.feed.outbox import OutboxEvent
from libs.common.people.store import ensure_users
from quietus.ingest.v1.events_pb2 import (
    Event,
    PredictionsCommitted,
    SessionEnded,
    SessionStarted,
    VoiceSessionRecorded,
)
from services.fusion import telling
from services.fusion.fold import Models
from services.fusion.folding import fold_batches
from services.fusion.reading import client_batch, session_end
from services.fusion.store import sessions


class IngestHandler:
    """A FeedHandler. One ChunksFused for each client batch, one SessionSettled for each end, in the order of the
    feed. A voice session as a whole is for patterns: fusion fuses chunks.
    """

    def __init__(self, models: Models) -> None:
        self._models = models

    def user_of(self, event: bytes) -> UUID | None:
        return UUID(_content(Event.FromString(event)).user_id)

    async def apply(self, tx: Transaction, events: Sequence[FeedEvent]) -> None:
        happened = [_content(Event.FromString(event.data)) for event in events]
        await ensure_users(tx, {UUID(one.user_id): one.anonymous_id for one in happened})
        batches = [client_batch(one) for one in happened if isinstance(one, PredictionsCommitted)]
        fused = iter(zip(batches, await fold_batches(tx, self._models, batches), strict=True))
        for one in happened:
            if isinstance(one, PredictionsCommitted):
                batch, results = next(fused)
                tx.append_to_outbox([OutboxEvent(batch.user_id, telling.chunks_fused(batch, results))])
            elif isinstance(one, SessionEnded):
                end = session_end(one)
                await sessions.write_end(tx, end)
                tx.append_to_outbox([OutboxEvent(end.user_id, telling.session_settled(end))])


def _content(event: Event) -> PredictionsCommitted | SessionStarted | SessionEnded | VoiceSessionRecorded:
    match event.WhichOneof("event"):
        case "predictions_committed":
            return event.predictions_committed
        case "session_started":
            return event.session_started
        case "session_ended":
            return event.session_ended
        case "voice_session_recorded":
            return event.voice_session_recorded
        case _:
            raise UnknownEvent
