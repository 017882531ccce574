"""Sends all that is stored of a session, page by page: in memory is one page, and no transaction waits for a reader."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID

from libs.common.db.database import AnyRow, Database
from libs.common.rpc.caller import Caller
from libs.common.rpc.drain import DrainSignal
from libs.common.rpc.errors import AppError, ErrorKind
from services.ingest.service.sessions import Sessions
from services.ingest.store import predictions
from services.ingest.store.pages import PAGE_BYTES
from services.ingest.vocabulary import Modality

PART_PREDICTIONS = 500
# Pages that are read at the same time.
READS = 1
RETRY_AFTER_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Place:
    """Behind the prediction of this chunk and modality; `counts` of all that lies before it."""

    BEGINNING: ClassVar["Place"]

    modality: Modality
    after: UUID | None
    counts: Mapping[Modality, int]

    def behind(self, rows: Sequence[AnyRow]) -> "Place":
        counts = {**self.counts, self.modality: self.counts[self.modality] + len(rows)}
        return Place(self.modality, rows[-1].chunk_id, counts)


Place.BEGINNING = Place(Modality.VISION, None, dict.fromkeys(Modality, 0))


@dataclass(frozen=True, slots=True)
class Part:
    """`place` is behind the rows; the part without rows is the last."""

    modality: Modality
    rows: Sequence[AnyRow]
    place: Place


@dataclass(frozen=True, slots=True)
class ExportLimits:
    concurrent: int
    idle_seconds: float


class Exports:
    def __init__(self, database: Database, sessions: Sessions, limits: ExportLimits) -> None:
        self._database = database
        self._sessions = sessions
        self._limits = limits
        self._running = 0
        self._reads = asyncio.Semaphore(READS)

    async def send(
        self,
        caller: Caller,
        session_id: UUID,
        place: Place,
        write: Callable[[Part], Awaitable[None]],
        drain: DrainSignal,
    ) -> None:
        """Returns after the last part. NOT_FOUND SESSION_NOT_FOUND; RESOURCE_EXHAUSTED TOO_MANY_EXPORTS;
        DEADLINE_EXCEEDED STREAM_IDLE; UNAVAILABLE DRAINING.
        """
        if self._running >= self._limits.concurrent:
            raise AppError(ErrorKind.RESOURCE_EXHAUSTED, "TOO_MANY_EXPORTS", retry_after_seconds=RETRY_AFTER_SECONDS)
        self._running += 1
        try:
            async with self._database.read() as tx:
                await self._sessions.readable(tx, caller, session_id)
            async with aclosing(self.parts(session_id, place)) as parts:
                async for part in parts:
                    await self._write(write, part)
                    if drain.is_set() and part.rows:
                        raise AppError(ErrorKind.UNAVAILABLE, "DRAINING", "go on with the token of the last message")
        finally:
            self._running -= 1

    async def parts(self, session_id: UUID, place: Place) -> AsyncGenerator[Part]:
        """What follows the place, modality by modality, by chunk id; each page is read when it is asked for."""
        for modality in list(Modality)[place.modality - 1 :]:
            if modality != place.modality:
                place = Place(modality, None, place.counts)
            has_more = True
            while has_more:
                async with self._reads, self._database.read() as tx:
                    rows, has_more = await predictions.page(
                        tx, modality, session_id, place.after, PART_PREDICTIONS, PAGE_BYTES
                    )
                if rows:
                    place = place.behind(rows)
                    yield Part(modality, rows, place)
        yield Part(place.modality, (), place)

    async def _write(self, write: Callable[[Part], Awaitable[None]], part: Part) -> None:
        scope = asyncio.timeout(self._limits.idle_seconds)
        try:
            async with scope:
                await write(part)
        except TimeoutError as error:
            if not scope.expired():
                raise
            raise AppError(ErrorKind.DEADLINE_EXCEEDED, "STREAM_IDLE", "the export is not read") from error
