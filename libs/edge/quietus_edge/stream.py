"""One StreamPredictions call of one session: sends fixed batches within the credit, removes what is acknowledged."""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

import grpc

from quietus.ingest.v1.ingest_pb2 import (
    Acknowledgement,
    BatchOutcome,
    OpenStream,
    RefusalReason,
    StreamPredictionsRequest,
    StreamPredictionsResponse,
)
from quietus_edge.connection import Connection
from quietus_edge.errors import EdgeError
from quietus_edge.settings import Limits
from quietus_edge.spool import Batch, Spool, SpooledSession
from quietus_edge.status import Refused, Reports
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
    ) -> None:
        self._session = session
        self._spool = spool
        self._reports = reports
        self._limits = limits
        self._wake = wake
        self._on_progress = on_progress
        self._window = Window()
        self.drained = False
        self._failure: EdgeError | None = None

    async def run(self, connection: Connection) -> None:
        """AioRpcError when the stream fails, TimeoutError when the server doesn't end it, EdgeError from the spool."""
        call = connection.ingest.StreamPredictions(metadata=await connection.metadata())
        async with asyncio.timeout(None) as time_to_close:
            sending = asyncio.create_task(self._send(call, time_to_close))
            try:
                async for response in call:
                    await self._take(response)
            finally:
                call.cancel()
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)
        if self._failure:
            raise self._failure

    async def _send(self, call: Any, time_to_close: asyncio.Timeout) -> None:
        try:
            await call.write(StreamPredictionsRequest(open=OpenStream(session_id=str(self._session.session_id))))
            await self._send_batches(call)
        except (grpc.RpcError, asyncio.InvalidStateError):
            return  # the reader hears why the stream ended
        except EdgeError as error:
            self._failure = error
        await call.done_writing()
        time_to_close.reschedule(asyncio.get_running_loop().time() + self._limits.stream_close_seconds)

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
                await asyncio.wait_for(self._wake.wait(), self._limits.stream_idle_seconds)
            except TimeoutError:
                if not self._window.in_flight:
                    return None

    async def _fix_batch(self, max_predictions: int) -> Batch | None:
        return await self._spool.run(lambda store: store.fix_batch(self._session.key, max_predictions))

    async def _take(self, response: StreamPredictionsResponse) -> None:
        match response.WhichOneof("message"):
            case "opened":
                self._window.grant(response.opened.credit)
            case "acknowledgement":
                await self._acknowledge(response.acknowledgement)
            case "credit":
                self._window.grant(response.credit)
            case "drain":
                self.drained = True
                self._wake.set()

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
