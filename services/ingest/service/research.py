"""Exports for research what people consented to, and nobody else's."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

from libs.common.db.audit import append_audit
from libs.common.db.database import Database
from libs.common.feed.cursor import read_cursor
from libs.common.people import Person
from libs.common.rpc.errors import AppError, ErrorKind
from quietus.common.v1.feed_pb2 import GetFeedResponse
from services.ingest.research import Months, Report, dataset_of
from services.ingest.store import predictions, research
from services.ingest.store.pages import PAGE_BYTES
from services.ingest.store.research import SessionStart
from services.ingest.vocabulary import Modality

PAGE_PEOPLE = 100
PAGE_SESSIONS = 100
# Of text fewer: transcripts are read with their rows, and left out.
PAGE_PREDICTIONS = 1_000
CURRENT_WAITS = 20
CURRENT_WAIT_SECONDS = 0.5


class Sink(Protocol):
    """Where rows go. Nothing of them may be seen before `publish`."""

    def add(self, anonymous_id: str, session: SessionStart, modality: Modality, row: Any) -> None: ...

    def publish(self) -> None: ...


@dataclass(frozen=True, slots=True)
class ResearchExport:
    """`identity_feed` asks identity how far its feed goes; `on_person` is told after each person."""

    database: Database
    identity_feed: Callable[[], Awaitable[GetFeedResponse]]
    actor: str
    on_person: Callable[[], object] = lambda: None

    async def run(self, months: Months, export_id: str, sink: Sink) -> Report:
        """FAILED_PRECONDITION CONSENT_NOT_CURRENT: ingest has not taken all that identity told; ABORTED
        CONSENT_WITHDRAWN: somebody withdrew meanwhile. Nothing is published then.
        """
        await self.check_current()
        report = Report(export_id, str(months))
        exported: list[UUID] = []
        async for person in self._people(months):
            if await self._begin(person, report):
                exported.append(person.user_id)
                await self._export(person, months, sink, report)
            else:
                await self._withhold(person, months, report)
            self.on_person()
        await self.check_current()
        await self._check_consents(exported)
        sink.publish()
        return report

    async def count_people(self, months: Months) -> int:
        async with self.database.read() as tx:
            return await research.count_people(tx, months.start, months.end)

    async def check_current(self) -> None:
        """What identity had told when this began is known here, so that no withdrawal is overlooked."""
        feed = await self.identity_feed()
        for _ in range(CURRENT_WAITS):
            if await self._has_followed(feed):
                return
            await asyncio.sleep(CURRENT_WAIT_SECONDS)
        text = "ingest has not taken all that identity told: is it running?"
        raise AppError(ErrorKind.FAILED_PRECONDITION, "CONSENT_NOT_CURRENT", text)

    async def _has_followed(self, feed: GetFeedResponse) -> bool:
        async with self.database.read() as tx:
            for at in feed.partitions:
                cursor = await read_cursor(tx, "identity", at.partition)
                position = cursor.position if cursor and str(cursor.feed_id) == feed.feed_id else -1
                if position < at.head_position:
                    return False
        return True

    async def _people(self, months: Months) -> AsyncGenerator[Person]:
        after = None
        while True:
            async with self.database.read() as tx:
                page = await research.people(tx, months.start, months.end, after, PAGE_PEOPLE)
            for person in page:
                yield person
            if len(page) < PAGE_PEOPLE:
                return
            after = page[-1].user_id

    async def _begin(self, person: Person, report: Report) -> bool:
        """Whether the person consents; it is written down before anything is read, also of an export that fails."""
        async with self.database.transaction() as tx:
            if not await research.consenting(tx, [person.user_id]):
                report.people_withheld += 1
                return False
            await append_audit(
                tx,
                user_id=person.user_id,
                actor=self.actor,
                action="research.export",
                resource_type="research_export",
                resource_id=report.export_id,
                metadata={"months": report.months},
            )
        report.people += 1
        return True

    async def _sessions(self, person: Person, months: Months) -> AsyncGenerator[SessionStart]:
        after = None
        while True:
            async with self.database.read() as tx:
                page = await research.sessions(tx, person.user_id, months.start, months.end, after, PAGE_SESSIONS)
            for session in page:
                yield session
            if len(page) < PAGE_SESSIONS:
                return
            after = page[-1]

    async def _export(self, person: Person, months: Months, sink: Sink, report: Report) -> None:
        async for session in self._sessions(person, months):
            report.sessions += 1
            for modality in Modality:
                after, has_more = None, True
                while has_more:
                    async with self.database.read() as tx:
                        rows, has_more = await predictions.page(
                            tx, modality, session.session_id, after, PAGE_PREDICTIONS, PAGE_BYTES
                        )
                    for row in rows:
                        sink.add(person.anonymous_id, session, modality, row)
                    report.rows[dataset_of(modality)] += len(rows)
                    after = rows[-1].chunk_id if rows else None

    async def _withhold(self, person: Person, months: Months, report: Report) -> None:
        async for session in self._sessions(person, months):
            report.sessions_withheld += 1
            async with self.database.read() as tx:
                report.rows_withheld += sum((await predictions.count(tx, session.session_id)).values())

    async def _check_consents(self, user_ids: list[UUID]) -> None:
        for first in range(0, len(user_ids), PAGE_PEOPLE):
            asked = user_ids[first : first + PAGE_PEOPLE]
            async with self.database.read() as tx:
                if await research.consenting(tx, asked) != set(asked):
                    raise AppError(ErrorKind.ABORTED, "CONSENT_WITHDRAWN", "somebody withdrew meanwhile; run it again")
