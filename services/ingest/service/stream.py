"""One open stream: takes batches as fast as they can be stored, and acknowledges them once they are."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass

from libs.common.clock import Clock
from libs.common.rpc.drain import DrainSignal
from libs.common.rpc.errors import AppError, ErrorKind
from quietus.ingest.v1.predictions_pb2 import PredictionBatch
from services.ingest.committer import Committer, Lane
from services.ingest.grouping import Outcome
from services.ingest.service.batches import check_size, prepare
from services.ingest.sessions import Session


@dataclass(frozen=True, slots=True)
class StreamLimits:
    credit_batches: int
    credit_predictions: int
    idle_seconds: float


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """Every batch through this number is durable. `outcomes` are those of batches that were not accepted whole."""

    through_batch_number: int
    outcomes: Sequence[Outcome]


class Drain:
    """The stream is about to end; the client opens another."""


Answer = Acknowledged | Drain
Write = Callable[[Answer], Awaitable[None]]


class PredictionStream(Lane):
    def __init__(self, session: Session, committer: Committer, limits: StreamLimits, clock: Clock) -> None:
        self._session = session
        self._committer = committer
        self._limits = limits
        self._clock = clock
        self._newest_number = 0
        self._batches_in_flight = 0
        self._predictions_in_flight = 0
        self._durable: list[Outcome] = []
        self._wake = asyncio.Event()

    def committed(self, outcomes: Sequence[Outcome]) -> None:
        self._durable.extend(outcomes)
        self._wake.set()

    def failed(self, error: AppError) -> None:
        super().failed(error)
        self._wake.set()

    async def serve(self, batches: AsyncIterator[PredictionBatch], write: Write, drain: DrainSignal) -> None:
        """Returns when the client or the drain has ended the stream and everything that was taken is acknowledged."""
        reader = asyncio.create_task(self._read(batches))
        drained = asyncio.create_task(drain.wait())
        for task in (reader, drained):
            task.add_done_callback(lambda _: self._wake.set())
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                if drained.done() and not reader.done():
                    await _cancelled(reader)
                    await self._write(write, Drain())
                await self._acknowledge(write)
                if self.error:
                    raise self.error
                if reader.done() and not self._batches_in_flight:
                    return _result_of(reader)
        finally:
            await _cancelled(reader, drained)

    async def _read(self, batches: AsyncIterator[PredictionBatch]) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._limits.idle_seconds) as idle:
                async for message in batches:
                    await self._take(message)
                    idle.reschedule(loop.time() + self._limits.idle_seconds)
        except TimeoutError as error:
            raise AppError(ErrorKind.DEADLINE_EXCEEDED, "STREAM_IDLE", "nothing was sent for too long") from error

    async def _take(self, message: PredictionBatch) -> None:
        size = check_size(message)
        if message.batch_number <= self._newest_number:
            raise AppError(ErrorKind.INVALID_ARGUMENT, "BATCH_NUMBER_NOT_GROWING", field="batch.batch_number")
        if (
            self._batches_in_flight >= self._limits.credit_batches
            or self._predictions_in_flight + size > self._limits.credit_predictions
        ):
            raise AppError(ErrorKind.RESOURCE_EXHAUSTED, "CREDIT_EXCEEDED", "more is in flight than was granted")
        batch = prepare(self._session, message, self._clock())
        await self._committer.room()
        self._committer.submit(self, batch)
        self._newest_number = batch.number
        self._batches_in_flight += 1
        self._predictions_in_flight += size

    async def _acknowledge(self, write: Write) -> None:
        if not self._durable:
            return
        durable, self._durable = self._durable, []
        self._batches_in_flight -= len(durable)
        self._predictions_in_flight -= sum([outcome.size for outcome in durable])
        outcomes = [outcome for outcome in durable if not outcome.whole]
        await self._write(write, Acknowledged(durable[-1].batch_number, outcomes))

    async def _write(self, write: Write, answer: Answer) -> None:
        try:
            async with asyncio.timeout(self._limits.idle_seconds):
                await write(answer)
        except TimeoutError as error:
            raise AppError(ErrorKind.DEADLINE_EXCEEDED, "STREAM_IDLE", "answers are not read") from error


async def _cancelled(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _result_of(task: asyncio.Task[None]) -> None:
    """Raises what the task raised; a cancelled one has nothing to say."""
    if not task.cancelled():
        task.result()
