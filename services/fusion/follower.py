"""What fusion does with ingest's feed: it fuses client batches and says when a session is settled."""

from collections.abc import Collection, Sequence
from uuid import UUID

from libs.common.db.database import Transaction
from libs.common.feed.handler import FeedEvent, UnknownEvent
from libs.common.feed.outbox import OutboxEvent
from libs.common.people.store import ensure_users
from libs.common.timestamps import to_datetime
from quietus.ingest.v1.events_pb2 import (
    Event,
    ModalityResumed,
    ModalitySilent,
    PredictionsCommitted,
    SessionEnded,
    SessionStarted,
    VoiceSessionRecorded,
)
from services.fusion import events as told
from services.fusion.fold import ChunkResult, ClientBatch, Models
from services.fusion.folding import fold_batches
from services.fusion.reading import client_batch, known_id, session_end, silence
from services.fusion.registry import KnownModels
from services.fusion.store import sessions, silences
from services.fusion.vocabulary import Modality

Happened = (
    PredictionsCommitted | SessionStarted | SessionEnded | VoiceSessionRecorded | ModalitySilent | ModalityResumed
)


class IngestHandler:
    """A FeedHandler. One ChunksFused for each client batch, one SessionSettled for each end, in the order of the
    feed. An end before anything was fused teaches nobody anything, so it is told again after the first late batch.
    A voice session as a whole is for patterns: fusion fuses chunks.
    """

    def __init__(self, models: Models) -> None:
        self._known = KnownModels(models)

    def user_of(self, event: bytes) -> UUID | None:
        return known_id(_content(Event.FromString(event)).user_id)

    async def apply(self, tx: Transaction, events: Sequence[FeedEvent]) -> None:
        happened = [_content(Event.FromString(event.data)) for event in events]
        batches = [client_batch(one) for one in happened if isinstance(one, PredictionsCommitted)]
        fused_into = {batch.session_id for batch in batches}
        ended = {known_id(one.session_id) for one in happened if isinstance(one, SessionEnded)}
        owners = await sessions.read_owners(tx, fused_into | ended)
        await _ensure_people(tx, happened, owners.values())
        fused_before = set(owners)
        ends = await sessions.read_ends(tx, fused_into - fused_before)
        fused = iter(zip(batches, await self._fold(tx, batches), strict=True))
        for one in happened:
            match one:
                case PredictionsCommitted():
                    batch, results = next(fused)
                    tx.append_to_outbox([OutboxEvent(batch.user_id, told.chunks_fused(batch, results))])
                    fused_before.add(batch.session_id)
                    if end := ends.pop(batch.session_id, None):
                        tx.append_to_outbox([OutboxEvent(end.user_id, told.session_settled(end))])
                case SessionEnded():
                    end = session_end(one)
                    await sessions.write_end(tx, end)
                    tx.append_to_outbox([OutboxEvent(end.user_id, told.session_settled(end))])
                    if end.session_id not in fused_before:
                        ends[end.session_id] = end
                case _:
                    await _keep_silence(tx, one)

    async def _fold(self, tx: Transaction, batches: Sequence[ClientBatch]) -> Sequence[Sequence[ChunkResult]]:
        """What each batch changed. Grouping makes no difference, so batches of two versions are folded one run after
        the other.
        """
        changed: list[Sequence[ChunkResult]] = []
        async for models, run in self._known.runs(tx, batches):
            changed.extend(await fold_batches(tx, models, run))
        return changed


async def _ensure_people(tx: Transaction, happened: Sequence[Happened], known: Collection[UUID]) -> None:
    people = {known_id(one.user_id): one.anonymous_id for one in happened}
    for user_id in known:
        people.pop(user_id, None)
    if people:
        await ensure_users(tx, people)


async def _keep_silence(tx: Transaction, one: Happened) -> None:
    if isinstance(one, ModalitySilent):
        await silences.begin(tx, UUID(one.session_id), UUID(one.user_id), silence(one))
    elif isinstance(one, ModalityResumed):
        since_time, resume_time = to_datetime(one.since_time), to_datetime(one.resume_time)
        await silences.end(tx, UUID(one.session_id), Modality(one.modality), since_time, resume_time)


def _content(event: Event) -> Happened:
    match event.WhichOneof("event"):
        case "predictions_committed":
            return event.predictions_committed
        case "session_started":
            return event.session_started
        case "session_ended":
            return event.session_ended
        case "voice_session_recorded":
            return event.voice_session_recorded
        case "modality_silent":
            return event.modality_silent
        case "modality_resumed":
            return event.modality_resumed
        case _:
            raise UnknownEvent
