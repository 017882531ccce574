"""The feed anew, from the tables: person by person, each person's events in the order in which they were received."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from heapq import heappop, heappush
from itertools import groupby
from uuid import UUID

from libs.common.db.database import Transaction
from libs.common.feed.outbox import OutboxEvent
from quietus.ingest.v1.predictions_pb2 import PredictionBatch
from quietus_edge.ids import EPOCH
from services.ingest.events import (
    event_head,
    modality_resumed,
    modality_silent,
    predictions_committed,
    session_ended,
    session_started,
    voice_session_recorded,
)
from services.ingest.messages import to_prediction
from services.ingest.sessions import Session
from services.ingest.store import predictions, sessions, silences, voice
from services.ingest.vocabulary import Modality
from services.ingest.voice import VoiceSession

# When it was received, the session or voice session, and its place among the session's events.
Place = tuple[datetime, UUID, int]


class IngestBackfill:
    async def events(self, tx: Transaction) -> AsyncIterator[OutboxEvent]:
        for user_id in await sessions.people(tx):
            received = await sessions.by_receive_time(tx, user_id)
            async for event in _events_of(tx, received, await voice.by_receive_time(tx, user_id)):
                yield event


async def _events_of(
    tx: Transaction, received: Sequence[Session], spoken: Sequence[VoiceSession]
) -> AsyncIterator[OutboxEvent]:
    """A session is read when its turn comes: in memory are those alone that overlap, and what was heard of a voice.

    `spoken` is in the order of receipt, and so a heap.
    """
    heap: list[tuple[Place, OutboxEvent]] = [
        ((one.receive_time, one.voice_session_id, 0), voice_session_recorded(one)) for one in spoken
    ]
    for session in received:
        while heap and heap[0][0][0] < session.receive_time:
            yield heappop(heap)[1]
        for ordinal, (receive_time, event) in enumerate(await _session_events(tx, session)):
            heappush(heap, ((receive_time, session.key.session_id, ordinal), event))
    while heap:
        yield heappop(heap)[1]


async def _session_events(tx: Transaction, session: Session) -> list[tuple[datetime, OutboxEvent]]:
    events = [(session.receive_time, session_started(session)), *await _batches(tx, session)]
    events += await _silences(tx, session)
    if session.end_receive_time is not None:
        events.append((session.end_receive_time, session_ended(session)))
    return events


async def _silences(tx: Transaction, session: Session) -> list[tuple[datetime, OutboxEvent]]:
    events = []
    for silence in await silences.of_session(tx, session.key.session_id):
        events.append((silence.receive_time, modality_silent(session.key, silence)))
        if silence.resume_receive_time is not None:
            events.append((silence.resume_receive_time, modality_resumed(session.key, silence)))
    return events


async def _batches(tx: Transaction, session: Session) -> list[tuple[datetime, OutboxEvent]]:
    stored = [
        ((row.receive_time, row.batch_number, row.batch_index), to_prediction(modality, row))
        for modality in Modality
        for row in await predictions.of_session(tx, modality, session.key.session_id)
    ]
    stored.sort(key=lambda item: item[0])
    head = event_head(session.key)
    events = []
    for (receive_time, batch_number), items in groupby(stored, key=lambda item: item[0][:2]):
        batch = PredictionBatch(batch_number=batch_number, predictions=[message for _, message in items])
        received = (receive_time - EPOCH) // EPOCH.resolution
        late = session.end_receive_time is not None and receive_time > session.end_receive_time
        event = predictions_committed(session.key.user_id, head, received, batch.SerializeToString(), late=late)
        events.append((receive_time, event))
    return events
