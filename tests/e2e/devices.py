"""Devices that send fixed batches over the raw protocol, again and again until each is acknowledged."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, TypeVar
from uuid import UUID

import grpc

from deploy.demo.people import Person
from libs.common.rpc.client import Metadata, channel
from libs.common.timestamps import to_timestamp
from quietus.ingest.v1.ingest_pb2 import (
    Acknowledgement,
    Credit,
    Drain,
    EndSessionRequest,
    OpenStream,
    StartSessionRequest,
    StreamPredictionsRequest,
    StreamPredictionsResponse,
)
from quietus.ingest.v1.ingest_pb2_grpc import IngestServiceStub
from quietus.ingest.v1.predictions_pb2 import PredictionBatch
from quietus_edge.errors import retry_delay_seconds
from quietus_edge.retry import is_unreachable
from tests.e2e.ledger import Ledger
from tests.e2e.polling import until
from tests.e2e.scenario import PlannedSession

T = TypeVar("T")

IN_FLIGHT_PER_STREAM = 3
RETRY_SECONDS = 0.05
UNREACHABLE_SECONDS = 90.0
FINISH_SECONDS = 180.0
CALL_SECONDS = 5.0


class Devices:
    """One device a person, all at once; a person's sessions come one after the other, in order.

    Nothing new is sent while the tap is closed. A device tries for ever; who waits for it has a limit.
    """

    def __init__(self, address: str, work: Mapping[Person, Sequence[PlannedSession]]) -> None:
        self.ledger = Ledger()
        self.tap = asyncio.Event()
        # Of sessions that are sent by several streams at the same time: how many there were.
        self.streams: dict[str, int] = {}
        self._address = address
        self._work = work
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> "Devices":
        self._channel = channel(self._address)
        for person, sessions in self._work.items():
            device = self._device(person)
            self._tasks.append(asyncio.create_task(device.run(sessions), name=f"device of {person.name}"))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._channel.close()

    def _device(self, person: Person) -> "Device":
        return Device(self._channel, person.token, self.ledger, self.tap)

    @property
    def finished(self) -> bool:
        """Raises what a device has failed with."""
        for task in self._tasks:
            if task.done():
                task.result()
        return all(task.done() for task in self._tasks)

    async def finish(self) -> None:
        """Returns when everything is acknowledged and every session has ended."""
        self.tap.set()
        async with asyncio.timeout(FINISH_SECONDS):
            await asyncio.gather(*self._tasks)

    async def everything_sent_is_acknowledged(self) -> None:
        await until(
            lambda: self.finished or not self.ledger.in_flight, "everything sent is acknowledged", UNREACHABLE_SECONDS
        )


class Device:
    def __init__(self, ingest: grpc.aio.Channel, token: Metadata, ledger: Ledger, tap: asyncio.Event) -> None:
        self._ingest = IngestServiceStub(ingest)
        self._token = token
        self._ledger = ledger
        self._tap = tap

    async def run(self, sessions: Sequence[PlannedSession]) -> None:
        for session in sessions:
            await self._tap.wait()
            await self._start(session)
            await until_reached(lambda session=session: self._stream(session))  # type: ignore[misc]
            await self._end(session)

    async def _start(self, session: PlannedSession) -> None:
        request = StartSessionRequest(session_id=str(session.session_id), start_time=to_timestamp(session.start))
        await until_reached(lambda: self._ingest.StartSession(request, metadata=self._token, timeout=CALL_SECONDS))

    async def _end(self, session: PlannedSession) -> None:
        request = EndSessionRequest(session_id=str(session.session_id), end_time=to_timestamp(session.end))
        await until_reached(lambda: self._ingest.EndSession(request, metadata=self._token, timeout=CALL_SECONDS))

    async def _stream(self, session: PlannedSession) -> None:
        while waiting := self._unacknowledged(session):
            await self._send_all(session.session_id, waiting)

    def _unacknowledged(self, session: PlannedSession) -> list[PredictionBatch]:
        """Oldest first."""
        done = self._ledger.acknowledged
        return [batch for batch in session.batches if (session.session_id, batch.batch_number) not in done]

    async def _send_all(self, session_id: UUID, batches: Sequence[PredictionBatch]) -> None:
        """Until the service ends the stream."""
        room = _Room()
        call = self._ingest.StreamPredictions(metadata=self._token)
        sending = asyncio.create_task(self._send(call, session_id, batches, room))
        try:
            async for response in call:
                room.grant(response)
                if response.HasField("acknowledgement"):
                    self._ledger.acknowledge(session_id, room.free(response.acknowledgement))
        except grpc.aio.AioRpcError:
            self._ledger.broken_streams += room.is_open
            raise
        finally:
            call.cancel()
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)

    async def _send(self, call: Any, session_id: UUID, batches: Sequence[PredictionBatch], room: "_Room") -> None:
        """Whoever reads the call hears why it ended."""
        await call.write(StreamPredictionsRequest(open=OpenStream(session_id=str(session_id))))
        for batch in batches:
            await room.take()
            if (session_id, batch.batch_number) not in self._ledger.in_flight:
                await self._tap.wait()
            self._ledger.send(session_id, batch.batch_number)
            room.in_flight.append(batch.batch_number)
            await call.write(StreamPredictionsRequest(batch=batch))
        await call.done_writing()


class _Room:
    """For a few batches in flight on one stream; for none while the service says so."""

    def __init__(self) -> None:
        self._free = asyncio.Semaphore(IN_FLIGHT_PER_STREAM)
        self._granted = asyncio.Event()
        self.is_open = False
        self.in_flight: deque[int] = deque()

    def grant(self, response: StreamPredictionsResponse) -> None:
        self.is_open = True
        said: Any = getattr(response, str(response.WhichOneof("message")))
        if isinstance(said, Drain):
            return
        credit = said if isinstance(said, Credit) else said.credit
        if credit.max_batches:
            self._granted.set()
        elif isinstance(said, Credit) or said.HasField("credit"):
            self._granted.clear()

    def free(self, acknowledgement: Acknowledgement) -> list[int]:
        """The numbers of the batches that it covers."""
        refused = [outcome for outcome in acknowledgement.outcomes if outcome.refusals]
        assert not refused, f"refused: {refused}"
        covered: list[int] = []
        while self.in_flight and self.in_flight[0] <= acknowledgement.through_batch_number:
            covered.append(self.in_flight.popleft())
            self._free.release()
        assert covered[-1:] == [acknowledgement.through_batch_number], "acknowledged what wasn't sent"
        return covered

    async def take(self) -> None:
        await self._free.acquire()
        await self._granted.wait()


async def until_reached(call: Callable[[], Awaitable[T]]) -> T:
    """Again while the service can't be reached, or asks to come back; any other error is the suite's fault."""
    while True:
        try:
            return await call()
        except grpc.aio.AioRpcError as error:
            delay = retry_delay_seconds(error)
            if not is_unreachable(error) and delay is None:
                raise
        await asyncio.sleep(delay or RETRY_SECONDS)
