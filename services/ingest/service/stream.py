"""One open stream: takes batches as fast as they can be stored, and acknowledges them once they are."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from grpc.aio import EOF

from libs.common.db.availability import Availability
from libs.common.rpc.drain import DrainSignal
from libs.common.rpc.errors import AppError, ErrorKind
from libs.common.rpc.validation import parser
from quietus.ingest.v1.ingest_pb2 import StreamPredictionsRequest
from quietus.ingest.v1.sessions_pb2 import Heartbeat
from services.ingest.grouping import Outcome
from services.ingest.service.batches import NOTHING, Arrival, Found, SessionBatches, now
from services.ingest.service.committer import Committer, Lane
from services.ingest.service.devices import Device
from services.ingest.service.hearing import Hearing
from services.ingest.service.heartbeats import Beat, Heartbeats


@dataclass(frozen=True, slots=True)
class StreamLimits:
    credit_batches: int
    credit_predictions: int
    idle_seconds: float


@dataclass(slots=True)
class Acknowledged:
    """Every batch through this number is durable. `outcomes` are those of batches that were not accepted whole."""

    through_batch_number: int
    outcomes: Sequence[Outcome]


class Drain:
    """The stream is about to end; the client opens another."""


@dataclass(frozen=True, slots=True)
class CreditChanged:
    """Nothing more may be sent while nothing can be stored."""

    is_granted: bool


Answer = Acknowledged | Drain | CreditChanged | Beat
Write = Callable[[Answer], Awaitable[None]]
Task = asyncio.Task[None]

# How a heartbeat begins, as every usual client writes it; any other is found when its slice is made.
_HEARTBEAT = bytes((StreamPredictionsRequest.HEARTBEAT_FIELD_NUMBER << 3 | 2,))

# How often the watch looks before it ends a stream.
LOOKS = 4

parse_request = parser(StreamPredictionsRequest)
# Serialised StreamPredictionsRequests, then EOF.
Read = Callable[[], Awaitable[Any]]


class PredictionStream(Lane):
    def __init__(
        self,
        batches: SessionBatches,
        device: Device,
        committer: Committer,
        availability: Availability,
        limits: StreamLimits,
        hearing: Hearing | None = None,
    ) -> None:
        """`hearing`: where plain words are taken."""
        super().__init__(device)
        self._batches = batches
        self._device = device
        self._committer = committer
        self._availability = availability
        self._limits = limits
        self._hearing = hearing
        # For each message that waits for its slice, in order; empty where no plain words are taken.
        self._found: deque[Found] = deque()
        self.has_credit = True
        self.heartbeats = Heartbeats()
        self._refusal: AppError | None = None
        self._newest_number = 0
        # Messages that wait for their slice. Those that are dropped after a refusal stay counted: it ends the stream.
        self._unread = 0
        self._batches_in_flight = 0
        self._predictions_in_flight = 0
        self._durable: list[Outcome] = []
        self._writes = 0
        self._is_writing = False
        self._patience = asyncio.timeout(None)
        self._wake = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    @property
    def progress(self) -> tuple[int, int]:
        """Differs when something came."""
        return self._newest_number, self.heartbeats.count

    def arrive(self, message: bytes, receive_time: int) -> Arrival | None:
        self._unread -= 1
        found = self._found.popleft() if self._found else NOTHING
        request = parse_request(message)
        if request.HasField("heartbeat"):
            self._hear(request.heartbeat, receive_time)
            return None
        if request.HasField("open"):
            raise AppError(ErrorKind.INVALID_ARGUMENT, "STREAM_ALREADY_OPENED")
        arrival = self._batches.arrive(request.batch, receive_time, len(message), found)
        if arrival.number <= self._newest_number:
            raise AppError(ErrorKind.INVALID_ARGUMENT, "BATCH_NUMBER_NOT_GROWING", field="batch.batch_number")
        predictions = self._predictions_in_flight + arrival.size_predictions
        if predictions > self._limits.credit_predictions:
            raise _credit_exceeded()
        self._newest_number = arrival.number
        self._batches_in_flight += 1
        self._predictions_in_flight = predictions
        return arrival

    def committed(self, outcome: Outcome) -> None:
        self._durable.append(self._batches.as_sent(outcome))
        self._wake.set()

    def refused(self, error: AppError) -> None:
        super().refused(error)
        self._refusal = error
        self._wake.set()

    def failed(self, error: AppError) -> None:
        super().failed(error)
        self._wake.set()

    async def serve(self, read: Read, write: Write, drain: DrainSignal) -> None:
        """Returns when the client or the drain has ended the stream and everything that was taken is acknowledged."""
        reader = asyncio.create_task(self._read(read))
        drained = asyncio.create_task(drain.wait())
        idle = asyncio.create_task(self._watch())
        for task in (reader, drained, idle):
            task.add_done_callback(lambda _: self._wake.set())
        self._availability.listeners.add(self._wake.set)
        if not self._availability.is_available:
            self._wake.set()
        try:
            async with self._patience:
                await self._answer(write, reader, drained, idle)
        except TimeoutError as error:
            raise AppError(ErrorKind.DEADLINE_EXCEEDED, "STREAM_IDLE", "answers are not read") from error
        finally:
            self._availability.listeners.discard(self._wake.set)
            await _cancelled(reader, drained, idle)

    async def _answer(self, write: Write, reader: Task, drained: Task, idle: Task) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            if drained.done() and not reader.done():
                await _cancelled(reader)
                await self._write(write, Drain())
            if self.has_credit != self._availability.is_available:
                self.has_credit = not self.has_credit
                await self._write(write, CreditChanged(self.has_credit))
            await self._acknowledge(write)
            if beat := self.heartbeats.unanswered():
                await self._write(write, beat)
            if self.error:
                raise self.error
            if self._refusal and not self._batches_in_flight:
                raise self._refusal
            if reader.done() and not self._unread and not self._batches_in_flight:
                return _result_of(reader)
            if idle.done():
                raise AppError(ErrorKind.DEADLINE_EXCEEDED, "STREAM_IDLE", "nothing was sent for too long")

    async def _read(self, read: Read) -> None:
        while (message := await read()) is not EOF:
            if not (message.startswith(_HEARTBEAT) and self._takes_heartbeat(message)):
                if self._unread + self._batches_in_flight >= self._limits.credit_batches:
                    raise _credit_exceeded()
                if self._hearing or self._committer.is_full:
                    await self._hold(message)
                self._unread += 1
                self._committer.submit(self, message)
            while self._device.is_held_up:
                await self._device.moves_on()

    async def _hold(self, message: bytes) -> None:
        """Until its words are read and the queue has room for it: meanwhile the client waits for us."""
        self._unread += 1
        try:
            if self._hearing:
                self._found.append(await self._words_of(self._hearing, message))
            await self._committer.room()
        finally:
            self._unread -= 1

    async def _words_of(self, hearing: Hearing, message: bytes) -> Found:
        try:
            request = parse_request(message)
        except AppError:  # which its slice says
            return NOTHING
        return await hearing.listen(request.batch, self._device)

    def _takes_heartbeat(self, message: bytes) -> bool:
        """At once: it needs no credit, and must not wait with the batches while nothing can be stored.

        One that is sent too often costs as much as a prediction.
        """
        request = parse_request(message)
        if not request.HasField("heartbeat"):
            return False
        time = now()
        self._hear(request.heartbeat, time)
        self._device.spend(1, time)
        return True

    def _hear(self, heartbeat: Heartbeat, receive_time: int) -> None:
        self.heartbeats.take(heartbeat, receive_time)
        self._wake.set()

    async def _watch(self) -> None:
        """Returns when the client has sent nothing for too long while it wasn't waiting for us, or doesn't read.

        It looks now and then, since a timer for each message and answer would cost more.
        """
        seen, quiet_looks = None, 0
        while quiet_looks < LOOKS:
            progress = self.progress, self._writes
            in_flight = self._unread or self._batches_in_flight
            waits_for_us = in_flight or self._committer.is_full or not self.has_credit or self._device.debt_seconds()
            is_quiet = progress == seen and (self._is_writing or not waits_for_us)
            quiet_looks = quiet_looks + 1 if is_quiet else 0
            seen = progress
            await asyncio.sleep(self._limits.idle_seconds / LOOKS)
        if self._is_writing:
            self._patience.reschedule(self._loop.time())

    async def _acknowledge(self, write: Write) -> None:
        if not self._durable:
            return
        durable, self._durable = self._durable, []
        self._batches_in_flight -= len(durable)
        self._predictions_in_flight -= sum([outcome.size_predictions for outcome in durable])
        outcomes = [outcome for outcome in durable if outcome.accepted != outcome.size_predictions]
        await self._write(write, Acknowledged(durable[-1].batch_number, outcomes))

    async def _write(self, write: Write, answer: Answer) -> None:
        self._writes += 1
        self._is_writing = True
        await write(answer)
        self._is_writing = False


def _credit_exceeded() -> AppError:
    return AppError(ErrorKind.RESOURCE_EXHAUSTED, "CREDIT_EXCEEDED", "more is in flight than was granted")


async def _cancelled(*tasks: Task) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _result_of(task: Task) -> None:
    """Raises what the task raised; a cancelled one has nothing to say."""
    if not task.cancelled():
        task.result()
