"""Brings one session to the server: start, predictions, end; again and again until it is done."""

import asyncio
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta

import grpc

from quietus.ingest.v1.ingest_pb2 import EndSessionRequest, ExportSessionRequest, StartSessionRequest
from quietus_edge.connection import Connection
from quietus_edge.errors import EdgeError, metadata_of, reason_of, retry_delay_seconds
from quietus_edge.ids import uuid7
from quietus_edge.messages import timestamp
from quietus_edge.retry import HOPELESS, Backoff, is_unreachable
from quietus_edge.settings import Limits
from quietus_edge.spool import Joined, Spool, SpooledSession
from quietus_edge.status import Problem, Reports
from quietus_edge.stream import PredictionStream
from quietus_edge.vitals import Vitals

# Below this, a session out of bounds isn't the clock's fault: it is older than what the server keeps.
SMALLEST_SKEW = timedelta(hours=1)
EXPORT_SECONDS = 300.0


class SessionSender:
    """`wake` tells it that its session has something new.

    `turn` is shared by all sessions that have ended: they go one after the other, so that what follows the feed meets a
    backlog in the order in which it was lived. A live session doesn't wait for them.
    """

    def __init__(
        self,
        key: int,
        connection: Connection,
        spool: Spool,
        reports: Reports,
        limits: Limits,
        turn: asyncio.Lock,
        vitals: Vitals,
    ) -> None:
        self._vitals = vitals
        self._key = key
        self._connection = connection
        self._spool = spool
        self._reports = reports
        self._limits = limits
        self._turn = turn
        self._backoff = Backoff(limits.first_retry_seconds, limits.longest_retry_seconds)
        self._progressed = False
        self._token_forgotten = False
        self.wake = asyncio.Event()

    async def run(self) -> None:
        """Until the session is done, or has nothing to send for now."""
        while session := await self._unfinished():
            async with self._turn if session.end else nullcontext():
                problem = await self._bring(live=session.end is None)
            if problem:
                self._reports.block(problem)
                await asyncio.sleep(self._limits.problem_pause_seconds)

    async def _unfinished(self) -> SpooledSession | None:
        session = await self._spool.run(lambda store: store.session(self._key))
        if session is None:
            return None
        is_quiet = session.started and not session.waiting_records and not session.end
        if is_quiet and not self._vitals.is_live(self._key):
            return None
        return session

    async def _bring(self, live: bool) -> Problem | None:
        """Step by step, until there is nothing left, the session is no longer live, or a problem calls for a pause."""
        while session := await self._unfinished():
            if live and session.end:
                return None
            self._progressed = False
            try:
                await self._advance(session)
            except grpc.RpcError as error:
                if problem := await self._recover(session, error):
                    return problem
            except TimeoutError:
                pass  # the server kept a finished stream open; what it didn't acknowledge is sent again
            except EdgeError as error:
                return Problem(error.reason, str(error), str(session.session_id))
            else:
                if not self._progressed:  # a server that ends streams without taking anything isn't asked at once
                    await asyncio.sleep(self._backoff.next_seconds())
        return None

    async def _advance(self, session: SpooledSession) -> None:
        if not session.started:
            await self._start(session)
        elif session.waiting_records or not session.end:
            stream = PredictionStream(
                session, self._spool, self._reports, self._limits, self.wake, self._progress, self._vitals
            )
            await stream.run(self._connection)
            if stream.drained:
                self._connection.forget_token()  # it may be the reason
        else:
            await self._end(session)

    async def _start(self, session: SpooledSession) -> None:
        if session.joined is not None:
            await self._spool.run(lambda store: store.mark_started(self._key, True))
            self._progressed = True
            return
        start = session.start + (session.skew or timedelta(0))
        request = StartSessionRequest(session_id=str(session.session_id), start_time=timestamp(start))
        await self._connection.ingest.StartSession(
            request, metadata=await self._connection.metadata(), timeout=self._connection.timeout_seconds
        )
        await self._spool.run(lambda store: store.mark_started(self._key, True))
        self._progressed = True
        self._reports.progress()

    async def _end(self, session: SpooledSession) -> None:
        assert session.end
        if session.joined is Joined.LEAVING:
            await self._spool.run(lambda store: store.forget_session(self._key))
            self._progress()
            return
        end = session.end + (session.skew or timedelta(0))
        request = EndSessionRequest(session_id=str(session.session_id), end_time=timestamp(end))
        await self._connection.ingest.EndSession(
            request, metadata=await self._connection.metadata(), timeout=self._connection.timeout_seconds
        )
        await self._spool.run(lambda store: store.forget_session(self._key))
        self._progress()

    async def _recover(self, session: SpooledSession, error: grpc.RpcError) -> Problem | None:
        """Does what the error asks for; a problem that isn't cured by that is returned."""
        reason = reason_of(error) or error.code().name
        problem = Problem(reason, f"the service answered {error.code().name}", str(session.session_id))
        if is_unreachable(error):
            self._reports.unreachable(reason)
            await asyncio.sleep(self._backoff.next_seconds())
        elif error.code() is grpc.StatusCode.UNAUTHENTICATED and not self._token_forgotten:
            self._token_forgotten = True
            self._connection.forget_token()
        elif reason == "SESSION_TIME_OUT_OF_BOUNDS" and (skew := _skew(session, error)):
            await self._correct_clock(session, skew)
        elif (delay := retry_delay_seconds(error)) is not None:
            self._reports.unreachable(reason)
            await asyncio.sleep(min(delay, self._limits.problem_pause_seconds) + self._backoff.next_seconds())
        elif reason == "SESSION_ENDED" and (session.waiting_records or not session.end):
            await self._go_on_elsewhere(session)
        elif reason in HOPELESS:
            await self._spool.run(lambda store: store.forget_session(self._key, reason))
            self._reports.tell(problem)
        elif reason == "SESSION_NOT_FOUND":
            if session.joined is None:
                await self._spool.run(lambda store: store.mark_started(self._key, False))
            self._reports.tell(problem)
            await asyncio.sleep(self._backoff.next_seconds())
        else:
            return problem
        return None

    async def _correct_clock(self, session: SpooledSession, skew: timedelta) -> None:
        session_id = uuid7(session.start + skew)
        await self._spool.run(lambda store: store.correct_clock(self._key, session_id, skew))
        message = f"the device's clock is off by {skew}; the session goes on under a new id"
        self._reports.tell(Problem("CLOCK_CORRECTED", message, str(session_id)))

    async def _go_on_elsewhere(self, session: SpooledSession) -> None:
        """The service takes nothing of the session any more; what it lacks becomes a session of its own."""
        try:
            await self._forget_what_is_there(session)
        except grpc.RpcError as error:
            if is_unreachable(error) or retry_delay_seconds(error) is not None:
                self._reports.unreachable(reason_of(error) or error.code().name)
                await asyncio.sleep(self._backoff.next_seconds())
                return
        left = await self._spool.run(lambda store: store.session(self._key))
        if left is None or (left.end and not left.waiting_records):
            return
        session_id = uuid7(session.start + (session.skew or timedelta(0)))
        await self._spool.run(lambda store: store.go_on_as(self._key, session_id))
        message = "the session has ended for the service; what it lacks goes under a new id"
        self._reports.tell(Problem("SESSION_ENDED", message, str(session_id)))

    async def _forget_what_is_there(self, session: SpooledSession) -> None:
        """Of batches that were sent and never acknowledged, lest a chunk be in two sessions. They are taken in order:
        with the last one that is there, all before it are done with.
        """
        numbers = {
            (prediction.chunk_id, prediction.WhichOneof("modality")): batch.number
            for batch in await self._spool.run(lambda store: store.fixed_batches(self._key))
            for prediction in batch.message.predictions
        }
        if not numbers:
            return
        through = 0
        async for part in self._connection.ingest.ExportSession(
            ExportSessionRequest(session_id=str(session.session_id)),
            metadata=await self._connection.metadata(),
            timeout=EXPORT_SECONDS,
        ):
            for stored in part.predictions.predictions:
                place = stored.prediction.chunk_id, stored.prediction.WhichOneof("modality")
                through = max(through, numbers.get(place, 0))
        if through:
            await self._spool.run(lambda store: store.acknowledge(self._key, through, 0, {}))

    def _progress(self) -> None:
        self._progressed = True
        self._token_forgotten = False
        self._backoff.reset()
        self._reports.progress()


def _skew(session: SpooledSession, error: grpc.RpcError) -> timedelta | None:
    """What the server's clock adds to the session's; None when it explains nothing or was corrected before.

    A session of the future was recorded by a clock that has been put right since: it ended now at the latest.
    """
    try:
        server_time = datetime.fromisoformat(metadata_of(error)["server_time"]).astimezone(UTC)
    except (KeyError, ValueError):
        return None
    if session.skew is not None:
        return None
    skew = server_time - datetime.now(UTC)
    if abs(skew) >= SMALLEST_SKEW:
        return skew
    ahead = session.last_capture - server_time
    return -ahead if ahead >= SMALLEST_SKEW else None
