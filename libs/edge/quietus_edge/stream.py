"""One StreamPredictions call of one session: sends fixed batches within the credit, removes what is acknowledged."""

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import grpc

from quietus.ingest.v1.ingest_pb2 import (
    Acknowledgement,
    BatchOutcome,
    OpenStream,
    RefusalReason,
    StreamOpened,
    StreamPredictionsRequest,
    StreamPredictionsResponse,
)
from quietus.ingest.v1.sessions_pb2 import Heartbeat, HeartbeatAnswer
from quietus_edge.connection import Connection
from quietus_edge.errors import EdgeError
from quietus_edge.messages import timestamp
from quietus_edge.pulse import Pulse
from quietus_edge.settings import Limits
from quietus_edge.spool import Batch, Spool, SpooledSession
from quietus_edge.status import Clock, Refused, Reports
from quietus_edge.vitals import Vitals
from quietus_edge.window import Window


class PredictionStream:
    """Runs until the session has ended, nothing came for a while, or the server drains (`drained`).

    `wake` is set when the session has something new. `on_progress` is called at each acknowledgement.
    """

    def __init__(
        self,
        session: SpooledSession,
        spool: Spool,
        reports: Reports,
        limits: Limits,
        wake: asyncio.Event,
        on_progress: Callable[[], None],
        vitals: Vitals,
    ) -> None:
        self._session = session
        self._spool = spool
        self._reports = reports
        self._limits = limits
        self._wake = wake
        self._on_progress = on_progress
        # grpc.aio takes one message at a time.
        self._writing = asyncio.Lock()
        self._window = Window()
        self._pulse = Pulse(vitals, session.key, self._window, limits.heartbeat_seconds)
        self.drained = False
        self._failure: EdgeError | None = None

    async def run(self, connection: Connection) -> None:
        """AioRpcError when the stream fails, TimeoutError when the server doesn't end it, EdgeError from the spool."""
        call = connection.ingest.StreamPredictions(metadata=await connection.metadata())
        async with asyncio.timeout(None) as time_to_close:
            sending = asyncio.create_task(self._send(call, time_to_close, connection.sender_id))
            try:
                async for response in call:
                    await self._take(response)
            finally:
                call.cancel()
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)
        if self._failure:
            raise self._failure

    async def _send(self, call: Any, time_to_close: asyncio.Timeout, sender_id: str) -> None:
        opening = OpenStream(
            session_id=str(self._session.session_id),
            sender_id=sender_id,
            client_time=timestamp(datetime.now(UTC)),
        )
        try:
            await call.write(StreamPredictionsRequest(open=opening))
            beating = asyncio.create_task(self._beat(call))
            try:
                await self._send_batches(call)
            finally:
                async with self._writing:  # a write that is cancelled ends the whole call
                    beating.cancel()
                await asyncio.gather(beating, return_exceptions=True)
        except (grpc.RpcError, asyncio.InvalidStateError):
            return  # the reader hears why the stream ended
        except EdgeError as error:
            self._failure = error
        await call.done_writing()
        time_to_close.reschedule(asyncio.get_running_loop().time() + self._limits.stream_close_seconds)

    async def _beat(self, call: Any) -> None:
        async def write(heartbeat: Heartbeat) -> None:
            async with self._writing:
                await call.write(StreamPredictionsRequest(heartbeat=heartbeat))

        await self._pulse.run(write)

    async def _send_batches(self, call: Any) -> None:
        key = self._session.key
        for batch in await self._spool.run(lambda store: store.fixed_batches(key)):
            await self._send_batch(call, batch)
        while fixed := await self._next_batch():
            await self._send_batch(call, fixed)

    async def _send_batch(self, call: Any, batch: Batch) -> None:
        await self._window.wait_for_room(batch.size)
        if not self.drained:
            self._window.sent(batch)
            async with self._writing:
                await call.write(StreamPredictionsRequest(batch=batch.message))

    async def _next_batch(self) -> Batch | None:
        """Fixes the next batch: at once when nothing is in flight, else after a moment in which more may come."""
        key = self._session.key
        while True:
            await self._window.wait_for_room(1)
            if self._window.in_flight:
                await asyncio.sleep(self._limits.linger_seconds)
            if self.drained:
                return None
            self._wake.clear()
            if batch := await self._fix_batch(min(self._limits.max_batch_predictions, self._window.room)):
                return batch
            session = await self._spool.run(lambda store: store.session(key))
            if session is None or session.end:
                return None
            try:
                async with asyncio.timeout(self._limits.stream_idle_seconds):
                    await self._wake.wait()
            except TimeoutError:
                if not self._window.in_flight and not self._pulse.is_live:
                    return None

    async def _fix_batch(self, max_predictions: int) -> Batch | None:
        return await self._spool.run(lambda store: store.fix_batch(self._session.key, max_predictions))

    async def _take(self, response: StreamPredictionsResponse) -> None:
        match response.WhichOneof("message"):
            case "opened":
                self._window.grant(response.opened.credit)
                self._learn(response.opened)
            case "acknowledgement":
                await self._acknowledge(response.acknowledgement)
            case "credit":
                self._window.grant(response.credit)
            case "heartbeat":
                self._pulse.answered(response.heartbeat)
                self._learn(response.heartbeat)
            case "drain":
                self.drained = True
                self._wake.set()

    def _learn(self, answer: StreamOpened | HeartbeatAnswer) -> None:
        if answer.HasField("clock"):
            uncertain = answer.clock.HasField("uncertainty_seconds")
            uncertainty = answer.clock.uncertainty_seconds if uncertain else None
            self._reports.clock = Clock(answer.clock.skew_seconds, uncertainty)

    async def _acknowledge(self, acknowledgement: Acknowledgement) -> None:
        through = acknowledgement.through_batch_number
        batches = {batch.number: batch for batch in self._window.acknowledged(through)}
        outcomes = [outcome for outcome in acknowledgement.outcomes if outcome.batch_number in batches]
        refused = [self._refused(batches[outcome.batch_number], outcome) for outcome in outcomes]
        reasons = Counter(one.reason for each in refused for one in each)
        duplicates = sum(outcome.duplicates for outcome in outcomes)
        key = self._session.key
        await self._spool.run(lambda store: store.acknowledge(key, through, duplicates, reasons))
        for one in (one for each in refused for one in each):
            self._reports.refused(one)
        self._on_progress()
        if acknowledgement.HasField("credit"):
            self._window.grant(acknowledgement.credit)

    def _refused(self, batch: Batch, outcome: BatchOutcome) -> list[Refused]:
        found = []
        for refusal in outcome.refusals:
            prediction = batch.message.predictions[refusal.index]
            found.append(
                Refused(
                    session_id=str(self._session.session_id),
                    chunk_id=prediction.chunk_id,
                    modality=str(prediction.WhichOneof("modality")),
                    field=refusal.field,
                    reason=RefusalReason.Name(refusal.reason).removeprefix("REFUSAL_REASON_"),
                )
            )
        return found
