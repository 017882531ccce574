"""What clients of one person do to a real server, and whether the model explains what comes of it."""

import asyncio
import time
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc

from libs.common.rpc.errors import reason_of
from libs.common.timestamps import to_timestamp
from quietus.common.v1.types_pb2 import MODALITY_VISION
from quietus.ingest.v1 import ingest_pb2
from quietus.ingest.v1.events_pb2 import Event
from quietus.ingest.v1.sessions_pb2 import MODALITY_STATE_RUNNING, Heartbeat, ModalityHeartbeat
from quietus_edge.ids import uuid7
from tests.ingest import make, suite
from tests.ingest.protocol_client import CREDIT_BATCHES, CREDITS, Client, Heard, Server
from tests.ingest.protocol_messages import SessionMessages, bad_message, bad_opening, outcome
from tests.ingest.protocol_model import (
    END,
    MODALITIES,
    SESSION_ENDED,
    Batch,
    Kept,
    Lane,
    Shape,
    Told,
    World,
    explanations,
)

SESSIONS, STREAMS = 2, 2
# As exactly as receive times are kept.
MILLISECOND = 1_000_000
HEARTBEAT = ingest_pb2.StreamPredictionsRequest(
    heartbeat=Heartbeat(modalities=[ModalityHeartbeat(modality=MODALITY_VISION, state=MODALITY_STATE_RUNNING)])
)
INVALID = grpc.StatusCode.INVALID_ARGUMENT

Contents = tuple[Shape, ...]


@dataclass
class Session:
    messages: SessionMessages
    world: World
    feed: list[Told] = field(default_factory=list)
    clients: dict[int, Client] = field(default_factory=dict)
    sent: tuple[list[Batch], ...] = field(default_factory=lambda: tuple([] for _ in range(STREAMS)))
    # Nanoseconds since 1970, by the server's clock; 0 while it is active.
    end_time: int = 0
    next_numbers: list[int] = field(default_factory=lambda: [1] * STREAMS)
    # The first is who sends when nobody is named.
    sender_ids: Sequence[str] = field(default_factory=lambda: ("", *(str(uuid7()) for _ in range(STREAMS - 1))))

    @property
    def id(self) -> str:
        return str(self.messages.session_id)

    def fixed(self, stream: int, contents: Sequence[Contents], gap: int = 1) -> list[Batch]:
        """Batches get their numbers once, from the sender that the stream is of."""
        batches = []
        for content in contents:
            self.next_numbers[stream] += gap
            batches.append(Batch(self.next_numbers[stream], content, stream))
        self.sent[stream].extend(batches)
        return batches


class Acts:
    """Of one person with some sessions."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.person = server.suite.person()
        self.past: list[Session] = []
        self.events: list[Event] = []
        self.quiet_time = 0

    async def begin(self) -> None:
        self.first_position, _ = await self.server.outbox(0)
        self.position = self.first_position
        self.sessions = [await self.started() for _ in range(SESSIONS)]
        await self.read_feed()

    async def started(self) -> Session:
        start = make.now()
        messages = SessionMessages(uuid7(start), start)
        request = ingest_pb2.StartSessionRequest(
            session_id=str(messages.session_id), start_time=to_timestamp(messages.start_time)
        )
        answers = [await self._call("StartSession", request) for _ in range(2)]
        assert answers[0] == answers[1]
        session = Session(messages, World(grace=self.server.grace))
        for stream in range(STREAMS):
            assert isinstance(await self._client(session, stream), Client)
        return session

    async def _call(self, method: str, request: object) -> Any:
        stub = self.server.suite.stub
        return await getattr(stub, method)(request, metadata=self.person.metadata, timeout=suite.PATIENCE_SECONDS)

    async def _client(self, session: Session, stream: int, above: int = 0) -> Client | Heard:
        """An open stream that takes numbers above this one, or how its opening ended."""
        client = session.clients.get(stream)
        if client and client.newest < above:
            return client
        await self.leave(session, stream)
        client = Client(self.person, self.server.suite.channel)
        await client.write(_opening(session, stream))
        try:
            opened = (await client.read()).opened
        except grpc.aio.AioRpcError as error:
            return Heard(code=error.code(), reason=reason_of(error))
        assert opened.credit.max_batches in CREDITS
        session.clients[stream] = client
        return client

    async def leave(self, session: Session, stream: int) -> None:
        if client := session.clients.pop(stream, None):
            client.call.cancel()

    async def _sent(self, session: Session, stream: int, batches: Sequence[Batch]) -> Client | Heard:
        client = await self._client(session, stream, above=batches[0].number if batches else 1 << 62)
        if isinstance(client, Client):
            for batch in batches:
                message = ingest_pb2.StreamPredictionsRequest(batch=session.messages.batch(batch))
                await client.sends(batch, message)
        return client

    async def stream(self, session: Session, stream: int, batches: Sequence[Batch]) -> Lane:
        client = await self._sent(session, stream, batches)
        heard = await client.hears(Heard()) if isinstance(client, Client) else client
        if heard.code:
            ended = (heard.code, heard.reason) == (grpc.StatusCode.FAILED_PRECONDITION, SESSION_ENDED)
            assert ended, f"{heard} after {session.world}"
            await self.leave(session, stream)
        return Lane(tuple(batches), heard.answers)

    async def beat(self, session: Session, stream: int, batches: Sequence[Batch]) -> Lane:
        """A heartbeat between batches, which changes nothing."""
        client = await self._sent(session, stream, batches)
        if isinstance(client, Heard):
            return Lane(tuple(batches), client.answers)
        await client.write(HEARTBEAT)
        heard = await client.hears(await client.hears_a_beat(Heard()))
        if heard.code:
            assert heard.reason == SESSION_ENDED
            await self.leave(session, stream)
        return Lane(tuple(batches), heard.answers)

    async def record(self, session: Session, batch: Batch) -> Lane:
        try:
            answer = await self._call("RecordPredictions", self._request(session, batch))
        except grpc.aio.AioRpcError as error:
            refused = error.code(), reason_of(error)
        else:
            return Lane((batch,), (outcome(answer.outcome),))
        assert refused == (grpc.StatusCode.FAILED_PRECONDITION, SESSION_ENDED)
        return Lane((batch,), (SESSION_ENDED,))

    async def record_and_leave(self, session: Session, batch: Batch) -> Lane:
        call = self.server.suite.stub.RecordPredictions(self._request(session, batch), metadata=self.person.metadata)
        await asyncio.sleep(0)
        call.cancel()
        return Lane((batch,), (), lost=True)

    def _request(self, session: Session, batch: Batch) -> ingest_pb2.RecordPredictionsRequest:
        return ingest_pb2.RecordPredictionsRequest(
            session_id=session.id, batch=session.messages.batch(batch), sender_id=session.sender_ids[batch.sender]
        )

    async def end(self, session: Session) -> Lane:
        end_time = session.messages.start_time if session.world.ended else make.now()
        request = ingest_pb2.EndSessionRequest(session_id=session.id, end_time=to_timestamp(end_time))
        answer = await self._call("EndSession", request)
        assert answer.session.status == ingest_pb2.SESSION_STATUS_ENDED
        assert await self._call("EndSession", request) == answer
        return Lane((END,), (None,))

    async def cut(self, index: int, stream: int, batches: Sequence[Batch], hears: int) -> None:
        session = self.sessions[index]
        client = await self._sent(session, stream, batches)
        heard = await client.hears(Heard(), most=hears) if isinstance(client, Client) else client
        await self.leave(session, stream)
        lost = Lane(tuple(batches), heard.answers, lost=not heard.code)
        again = batches[len(heard.outcomes) :]
        await self.round({index: [self.stream(session, stream, again)] if again else []}, {index: [lost]})

    async def spoil(self, index: int, stream: int, batches: Sequence[Batch], bad: str) -> None:
        session = self.sessions[index]
        client = await self._sent(session, stream, batches)
        heard = client
        if isinstance(client, Client):
            message, reason = bad_message(session.id, client.newest, bad)
            await client.write(message)
            heard = await client.hears_the_end(Heard())
            ended = session.world.is_closed and heard.reason == SESSION_ENDED
            assert ended or (heard.code, heard.reason) == (INVALID, reason)
            assert session.world.is_closed or len(heard.outcomes) == len(batches)
        await self.leave(session, stream)
        assert isinstance(heard, Heard)
        if batches:
            await self.round({}, {index: [Lane(tuple(batches), heard.answers)]})

    async def open_badly(self, session: Session, bad: str) -> None:
        person = self.server.suite.person() if bad == "somebody else" else self.person
        client = Client(person, self.server.suite.channel)
        await client.write(bad_opening(session.id, bad))
        heard = await client.hears_the_end(Heard())
        missing = bad in {"unknown", "somebody else"}
        reason = "SESSION_NOT_FOUND" if missing else "INVALID_FIELD" if bad.startswith("no ") else "STREAM_NOT_OPENED"
        code = grpc.StatusCode.NOT_FOUND if missing else INVALID
        assert (heard.code, heard.reason) == (code, reason)

    async def exceed(self, index: int, batches: Sequence[Batch]) -> None:
        """Nothing can be stored while another transaction holds the session, so that all of it is in flight."""
        session = self.sessions[index]
        async with self.server.database.transaction() as tx:
            await tx.execute("SELECT FROM sessions WHERE id = :id FOR UPDATE", {"id": session.messages.session_id})
            client = await self._sent(session, 0, batches)
            for _ in range(3):  # time for the server to read on
                await self._call("GetSession", ingest_pb2.GetSessionRequest(session_id=session.id))
        heard = await client.hears(Heard()) if isinstance(client, Client) else client
        # On a busy machine the session may be held for longer than the server waits for it.
        is_busy = (heard.code, heard.reason) == (grpc.StatusCode.UNAVAILABLE, "DATABASE_BUSY")
        if heard.code:
            await self.leave(session, 0)
            if not session.world.is_closed and not is_busy:
                assert (heard.code, heard.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "CREDIT_EXCEEDED")
                assert len(heard.outcomes) == CREDIT_BATCHES
        await self.round({}, {index: [Lane(tuple(batches), heard.answers, lost=is_busy)]})

    async def drain(self, batches: list[list[Batch]]) -> None:
        sent = [await self._sent(session, 0, batches[i]) for i, session in enumerate(self.sessions)]
        draining = asyncio.create_task(self.server.drain())
        lanes: dict[int, list[Lane]] = {}
        again: dict[int, list[Coroutine[Any, Any, Lane]]] = {}
        for index, (session, client) in enumerate(zip(self.sessions, sent, strict=True)):
            heard = await client.hears_the_end(Heard()) if isinstance(client, Client) else client
            if heard.reason != SESSION_ENDED:
                assert (heard.drained, heard.code) == (True, grpc.StatusCode.OK)
            lanes[index] = [Lane(tuple(batches[index]), heard.answers, lost=not heard.reason)]
            if rest := batches[index][len(heard.outcomes) :]:
                again[index] = [self.stream(session, 0, rest)]
            for stream in range(STREAMS):
                await self.leave(session, stream)
        await draining
        await self.server.stop()
        await self.server.start()
        await self.round(again, lanes)

    async def round(
        self, doing: Mapping[int, Sequence[Coroutine[Any, Any, Lane]]], done: Mapping[int, Sequence[Lane]] | None = None
    ) -> None:
        """All at once; then some order of it has to explain what was heard and told."""
        indexes = [index for index, lanes in doing.items() for _ in lanes]
        finished = await asyncio.gather(*(lane for lanes in doing.values() for lane in lanes))
        await self.read_feed()
        for index, session in enumerate(self.sessions):
            lanes = [lane for at, lane in zip(indexes, finished, strict=True) if at == index]
            lanes += (done or {}).get(index, [])
            found = next(explanations(session.world, lanes, session.feed), None)
            assert found, f"nothing explains {lanes} and {session.feed} after {session.world}"
            session.world = found

    async def read_feed(self) -> None:
        """Whatever is new was received after the last time."""
        self.position, events = await self.server.outbox(self.position)
        by_id = {session.id: session for session in (*self.past, *self.sessions)}
        for event in events:
            self.events.append(event)
            content = getattr(event, str(event.WhichOneof("event")))
            assert (content.user_id, content.anonymous_id) == (str(self.person.user_id), self.person.anonymous_id)
            session = by_id[content.session_id]
            if told := session.messages.told(event):
                session.feed.append(told)
            self._check_times(session, event)
        self.quiet_time = time.time_ns()

    def _check_times(self, session: Session, event: Event) -> None:
        """What is told as late was received after the end."""
        if event.HasField("session_ended"):
            session.end_time = event.session_ended.receive_time.ToNanoseconds()
        if event.HasField("predictions_committed"):
            received = event.predictions_committed.receive_time.ToNanoseconds()
            assert event.predictions_committed.late == bool(session.end_time and received > session.end_time)
            assert received > self.quiet_time - MILLISECOND

    async def check_what_is_kept(self) -> None:
        await self.read_feed()
        assert await self.server.followed(self.first_position, self.position) == self.events
        for session in (*self.past, *self.sessions):
            assert tuple(session.feed) == session.world.feed
            assert await self._kept(session) == session.world.stored
            answer = await self._call("GetSession", ingest_pb2.GetSessionRequest(session_id=session.id))
            ended = ingest_pb2.SESSION_STATUS_ENDED if session.world.ended else ingest_pb2.SESSION_STATUS_ACTIVE
            assert answer.session.status == ended

    async def _kept(self, session: Session) -> dict[tuple[int, int], Kept]:
        kept: dict[tuple[int, int], Kept] = {}
        for modality, name in MODALITIES.items():
            rows = await self.server.rows(f"{name}_predictions", session.id)
            request = ingest_pb2.ListPredictionsRequest(session_id=session.id, modality=modality)  # type: ignore[arg-type]
            listed = (await self._call("ListPredictions", request)).predictions
            assert len(listed) == len(rows)
            said = {stored.prediction.chunk_id: stored.prediction for stored in listed}
            for row in rows:
                shape = session.messages.shape(said[str(row.chunk_id)])
                kept[shape.key] = Kept(shape, row.batch_number, row.batch_index)
        return kept

    def leave_all(self) -> None:
        for session in (*self.past, *self.sessions):
            for client in session.clients.values():
                client.call.cancel()


def _opening(session: Session, stream: int) -> ingest_pb2.StreamPredictionsRequest:
    sender_id = session.sender_ids[stream]
    return ingest_pb2.StreamPredictionsRequest(open=ingest_pb2.OpenStream(session_id=session.id, sender_id=sender_id))
