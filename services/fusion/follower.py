"""What fusion does with ingest's feed: it fuses client batches and says when a session is settled."""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

from libs.common.db.database import Transaction
from libs.common.feed.handler import FeedEvent, Read, UnknownEvent
from libs.common.feed.outbox import OutboxEvent
from libs.common.people.store import ensure_users
from libs.common.timestamps import to_datetime
from libs.common.values import maker
from quietus.ingest.v1.events_pb2 import (
    Event,
    ModalityResumed,
    ModalitySilent,
    PredictionsCommitted,
    SessionEnded,
    SessionStarted,
    VoiceSessionRecorded,
)
from services.fusion.events import session_settled
from services.fusion.fold import ClientBatch, Models
from services.fusion.reading import client_batch, known_id, session_end, silence
from services.fusion.records import SessionEnd
from services.fusion.service.folding import fold_batches
from services.fusion.service.registry import KnownModels
from services.fusion.store import sessions, silences
from services.fusion.store.sessions import SessionTail
from services.fusion.vocabulary import Modality

_KINDS = (
    "predictions_committed",
    "session_started",
    "session_ended",
    "voice_session_recorded",
    "modality_silent",
    "modality_resumed",
)
Message = PredictionsCommitted | SessionStarted | SessionEnded | VoiceSessionRecorded | ModalitySilent | ModalityResumed


class Happening(NamedTuple):
    """What an event of ingest's feed is to fusion. `content` is None where only whom it is about matters, and the error
    where nothing could be made of it.
    """

    user_id: UUID
    anonymous_id: str
    content: ClientBatch | SessionEnd | ModalitySilent | ModalityResumed | Exception | None


_READ, _HAPPENING = maker(Read), maker(Happening)


class IngestHandler:
    """A FeedHandler. One ChunksFused for each client batch, one SessionSettled for each end, in the order of the
    feed. An end before anything was fused teaches nobody anything, so it is told again after the first late batch.
    A voice session as a whole is for patterns: fusion fuses chunks.
    """

    def __init__(self, models: Models) -> None:
        self._known = KnownModels(models)

    def read(self, event: bytes) -> Read:
        message = _message(Event.FromString(event))
        user_id = known_id(message.user_id)
        return _READ((user_id, _HAPPENING((user_id, message.anonymous_id, _content(message)))))

    async def apply(self, tx: Transaction, events: Sequence[FeedEvent]) -> None:
        happened: list[Happening] = [event.content for event in events]
        for one in happened:
            if isinstance(one.content, Exception):
                raise one.content
        batches = [one.content for one in happened if isinstance(one.content, ClientBatch)]
        fused_into = {batch.session_id for batch in batches}
        ended = {one.content.session_id for one in happened if isinstance(one.content, SessionEnd)}
        tails = await sessions.read_tails(tx, fused_into | ended)
        await _ensure_people(tx, happened, {tail.user_id for tail in tails.values()})
        fused_before = set(tails)
        ends = await sessions.read_ends(tx, fused_into - fused_before)
        events_of_batches = iter(await self._fold(tx, batches, tails))
        told: list[OutboxEvent] = []
        for one in happened:
            match one.content:
                case ClientBatch() as batch:
                    told.append(OutboxEvent(batch.user_id, next(events_of_batches)))
                    fused_before.add(batch.session_id)
                    if end := ends.pop(batch.session_id, None):
                        told.append(OutboxEvent(end.user_id, session_settled(end)))
                case SessionEnd() as end:
                    await sessions.write_end(tx, end)
                    told.append(OutboxEvent(end.user_id, session_settled(end)))
                    if end.session_id not in fused_before:
                        ends[end.session_id] = end
                case ModalitySilent() | ModalityResumed() as change:
                    await _keep_silence(tx, change)
        tx.append_to_outbox(told)

    async def _fold(
        self, tx: Transaction, batches: Sequence[ClientBatch], tails: Mapping[UUID, SessionTail]
    ) -> Sequence[bytes]:
        """What each batch tells. Grouping makes no difference, so batches of two versions are folded one run after the
        other.
        """
        events: list[bytes] = []
        async for models, run in self._known.runs(tx, batches):
            of_run, tails = await fold_batches(tx, models, run, tails)
            events.extend(of_run)
        return events


def _content(
    message: Message,
) -> ClientBatch | SessionEnd | ModalitySilent | ModalityResumed | Exception | None:
    try:
        match message:
            case PredictionsCommitted():
                return client_batch(message)
            case SessionEnded():
                return session_end(message)
            case ModalitySilent() | ModalityResumed():
                return message
            case _:
                return None
    except Exception as error:  # raised when the event is applied: it parks one person, and stops nobody else
        return error


async def _ensure_people(tx: Transaction, happened: Sequence[Happening], known: Collection[UUID]) -> None:
    people = {one.user_id: one.anonymous_id for one in happened}
    for user_id in known:
        people.pop(user_id, None)
    if people:
        await ensure_users(tx, people)


async def _keep_silence(tx: Transaction, one: ModalitySilent | ModalityResumed) -> None:
    if isinstance(one, ModalitySilent):
        await silences.begin(tx, UUID(one.session_id), UUID(one.user_id), silence(one))
    else:
        since_time, resume_time = to_datetime(one.since_time), to_datetime(one.resume_time)
        await silences.end(tx, UUID(one.session_id), Modality(one.modality), since_time, resume_time)


def _message(event: Event) -> Message:
    kind = event.WhichOneof("event")
    if kind not in _KINDS:
        raise UnknownEvent
    message: Message = getattr(event, kind)
    return message
