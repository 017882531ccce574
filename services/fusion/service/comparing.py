"""Fuses what is stored with another version of the model and counts what would change. Nothing is changed."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime, time
from uuid import UUID

from libs.common.db.audit import append_audit
from libs.common.db.database import Database
from libs.common.rpc.drain import DrainSignal
from libs.common.rpc.errors import AppError, ErrorKind
from quietus_edge.ids import first_uuid7
from services.fusion.comparison import ComparedChunk, Report, SessionTally, Tally
from services.fusion.disclosure import Findings, of_many
from services.fusion.records import BEGINNING
from services.fusion.science.fuse import fuse_chunks
from services.fusion.science.inputs import ChunkInputs, InputArrays
from services.fusion.science.model import FusionModel
from services.fusion.science.session_state import START, SessionState, advance
from services.fusion.service.registry import candidate
from services.fusion.store import comparing, inputs, sessions
from services.fusion.store.comparing import StoredLevel
from services.fusion.store.results import Place

# Also how long the process does nothing else at a stretch: some milliseconds.
PAGE_CHUNKS = 250
PAGE_SESSIONS = 500
PROGRESS_SECONDS = 1.0
RETRY_AFTER_SECONDS = 10.0
IDLE_SECONDS = 30.0
FIRST_ID, LAST_ID = UUID(int=0), UUID(int=(1 << 128) - 1)


@dataclass(frozen=True, slots=True)
class Question:
    version: str
    checksum: str  # empty: not checked
    start_time: datetime | None = None  # of sessions' begins, by their ids
    end_time: datetime | None = None  # excluded
    anonymous_id: str = ""  # empty: everybody

    def session_ids(self) -> tuple[UUID, UUID]:
        """The first and the last that may be. Of whole days in UTC: moments could single out one session.

        INVALID_ARGUMENT PERIOD_INVALID, PERIOD_NOT_WHOLE_DAYS.
        """
        for field, moment in (("start_time", self.start_time), ("end_time", self.end_time)):
            if moment is not None and moment.astimezone(UTC).time() != time():
                raise AppError(ErrorKind.INVALID_ARGUMENT, "PERIOD_NOT_WHOLE_DAYS", "midnights of UTC", field=field)
        first = FIRST_ID if self.start_time is None else first_uuid7(self.start_time)
        last = LAST_ID if self.end_time is None else UUID(int=max(first_uuid7(self.end_time).int - 1, 0))
        if first > last:
            raise AppError(ErrorKind.INVALID_ARGUMENT, "PERIOD_INVALID", field="end_time")
        return first, last


@dataclass(frozen=True, slots=True)
class _Scope:
    model: FusionModel
    user_id: UUID | None
    first: UUID
    last: UUID
    total_sessions: int
    total_people: int

    def report(self, tally: Tally, *, done: bool = False) -> Report:
        return Report(tally, self.total_sessions, self.total_people, done)


class Comparisons:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._is_running = False

    async def send(
        self, actor: str, question: Question, write: Callable[[Findings], Awaitable[None]], drain: DrainSignal
    ) -> None:
        """To one who may not see how somebody is. Returns after the last findings.

        As compare(), and FAILED_PRECONDITION COHORT_TOO_SMALL, DEADLINE_EXCEEDED STREAM_IDLE, UNAVAILABLE DRAINING.
        """
        async with aclosing(self.compare(actor, question)) as reports:
            async for report in reports:
                if not report.is_of_many:
                    raise AppError(
                        ErrorKind.FAILED_PRECONDITION, "COHORT_TOO_SMALL", "the answer would rest on too few people"
                    )
                await _write(write, of_many(report))
                if drain.is_set() and not report.done:
                    raise AppError(ErrorKind.UNAVAILABLE, "DRAINING", "the server ends; connect to another")

    async def compare(self, actor: str, question: Question) -> AsyncGenerator[Report]:
        """A report at once, about every second, and when done. Each page is a short transaction of its own, and after
        it the comparison rests for as long as it calculated: what comes in goes first.

        NOT_FOUND MODEL_NOT_FOUND, PERSON_NOT_FOUND. FAILED_PRECONDITION MODEL_CHECKSUM_MISMATCH, MODEL_UNUSABLE.
        RESOURCE_EXHAUSTED COMPARISON_BUSY. INVALID_ARGUMENT PERIOD_INVALID, PERIOD_NOT_WHOLE_DAYS.
        """
        if self._is_running:
            raise AppError(ErrorKind.RESOURCE_EXHAUSTED, "COMPARISON_BUSY", retry_after_seconds=RETRY_AFTER_SECONDS)
        self._is_running = True
        try:
            scope = await self._scope(actor, question)
            tally, clock = Tally(), asyncio.get_running_loop()
            reported = clock.time()
            yield scope.report(tally)
            async for first, last in self._ranges(scope):
                async for _ in self._compare_range(scope.model, tally, first, last):
                    if clock.time() - reported >= PROGRESS_SECONDS:
                        reported = clock.time()
                        yield scope.report(tally)
            yield scope.report(tally, done=True)
        finally:
            self._is_running = False

    async def _scope(self, actor: str, question: Question) -> _Scope:
        first, last = question.session_ids()
        async with self._database.read() as tx:
            document = await candidate(tx, question.version, question.checksum)
            user_id = None
            if question.anonymous_id:
                user_id = await comparing.read_person(tx, question.anonymous_id)
                if user_id is None:
                    raise AppError(ErrorKind.NOT_FOUND, "PERSON_NOT_FOUND")
            await append_audit(
                tx,
                user_id=user_id,
                actor=actor,
                action="model.compare",
                resource_type="model",
                resource_id=question.version,
            )
            total_sessions, total_people = await sessions.count(tx, first, last, user_id)
        return _Scope(document.model, user_id, first, last, total_sessions, total_people)

    async def _ranges(self, scope: _Scope) -> AsyncIterator[tuple[UUID, UUID]]:
        """Of session ids: everybody's are one, a person's one a session."""
        if scope.user_id is None:
            yield scope.first, scope.last
            return
        after = UUID(int=max(scope.first.int - 1, 0))
        while True:
            async with self._database.read() as tx:
                found = await sessions.read_ids(tx, scope.user_id, after, scope.last, PAGE_SESSIONS)
            for session_id in found:
                yield session_id, session_id
            if len(found) < PAGE_SESSIONS:
                return
            after = found[-1]

    async def _compare_range(self, model: FusionModel, tally: Tally, first: UUID, last: UUID) -> AsyncIterator[None]:
        """Yields after every page."""
        clock = asyncio.get_running_loop()
        after: Place = (first, *BEGINNING)
        fold = _CandidateFold(model, tally)
        while True:
            async with self._database.read() as tx:
                page = await comparing.read_page(tx, after, last, PAGE_CHUNKS)
                known = await inputs.read(tx, [(one.session_id, one.chunk_id) for one in page])
            began = clock.time()
            if page:
                fold.add(page, known)
            if len(page) < PAGE_CHUNKS:
                fold.end_session()
                return
            after = page[-1].place
            await asyncio.sleep(clock.time() - began)
            yield


async def _write(write: Callable[[Findings], Awaitable[None]], findings: Findings) -> None:
    """Nobody else can compare until it is read."""
    scope = asyncio.timeout(IDLE_SECONDS)
    try:
        async with scope:
            await write(findings)
    except TimeoutError as error:
        if not scope.expired():
            raise
        raise AppError(ErrorKind.DEADLINE_EXCEEDED, "STREAM_IDLE", "the comparison is not read") from error


class _CandidateFold:
    """Folds sessions, one after the other, as the candidate would have."""

    def __init__(self, model: FusionModel, tally: Tally) -> None:
        self._model = model
        self._tally = tally
        self._session: SessionTally | None = None
        self._state: SessionState = START

    def add(self, page: Sequence[StoredLevel], known: Mapping[UUID, Mapping[UUID, ChunkInputs]]) -> None:
        pairs = [(stored, known.get(stored.session_id, {}).get(stored.chunk_id)) for stored in page]
        fused = iter(fuse_chunks(self._model, InputArrays.of([chunk for _, chunk in pairs if chunk is not None])))
        for stored, chunk in pairs:
            session = self._session_of(stored)
            if chunk is None:
                session.is_expired = True
                continue
            chunk_fused = next(fused)
            self._state = advance(self._model, self._state, chunk, chunk_fused)
            session.add(
                ComparedChunk(
                    chunk_id=stored.chunk_id,
                    levels=(stored.level, self._state.level),
                    scores=(stored.score, chunk_fused.score),
                    session_scores=(stored.session_score, self._state.score),
                )
            )

    def end_session(self) -> None:
        if self._session is not None:
            self._tally.add(self._session)
        self._session, self._state = None, START

    def _session_of(self, stored: StoredLevel) -> SessionTally:
        if self._session is None or self._session.session_id != stored.session_id:
            self.end_session()
            self._session = SessionTally(stored.session_id, stored.user_id)
        assert self._session is not None
        return self._session
