"""Each listing walks its index, on tables of a million rows."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import event

from libs.common.db.database import Database, Transaction
from libs.common.db.roles import dsn_for, slice_role
from libs.common.people import Person
from libs.common.people.access import InCareOf
from services.ingest.store import analyses, video_events, video_sessions, voice
from services.ingest.store.pages import PAGE_BYTES
from services.ingest.vocabulary import VideoSessionStatus
from tests.ingest import million
from tests.support import postgres

PERSON = Person(UUID("00000000-0000-7000-8000-000000000007"), "anon_7")
# Who cares for a tenth of the people, persons 0 to 999: for few, their own indexes would be walked, one by one.
COUNSELOR = InCareOf(UUID("00000000-0000-7000-8000-000000000000"))
MIDDLE = UUID("00000000-0000-7000-8000-00000007a120")
PAGE = 51
FEW = 10 * PAGE

NOW = datetime.now(UTC)
DAY = timedelta(days=1)
LAST_WEEK = {"start_time": NOW - 7 * DAY, "end_time": NOW}
# Where a page ended that was in the middle of the table.
BEFORE = (NOW - timedelta(seconds=million.ROWS / 2), MIDDLE)

Listing = Callable[[Transaction], Awaitable[Any]]


async def _events_of_session(tx: Transaction, wanted: video_events.Filter, before: Any = None) -> Any:
    session = await video_sessions.find(tx, "room-78")
    assert session is not None
    return await video_events.page(tx, session, wanted, before, PAGE)


ANALYSES, EVENTS = analyses.Filter, video_events.Filter
ACTIVE = VideoSessionStatus.ACTIVE
LISTINGS: dict[str, tuple[str, Listing]] = {
    "analyses of a person": (
        "idx_analysis_records_user_id",
        lambda tx: analyses.page(tx, PERSON.user_id, ANALYSES(), None, PAGE, PAGE_BYTES),
    ),
    "analyses of a person, a later page": (
        "idx_analysis_records_user_id",
        lambda tx: analyses.page(tx, PERSON.user_id, ANALYSES(), BEFORE, PAGE, PAGE_BYTES),
    ),
    "analyses of a person with a label": (
        "idx_analysis_records_user_id",
        lambda tx: analyses.page(tx, PERSON.user_id, ANALYSES("low_mood"), None, PAGE, PAGE_BYTES),
    ),
    "analyses of a person in a week": (
        "idx_analysis_records_user_id",
        lambda tx: analyses.page(tx, PERSON.user_id, ANALYSES(**LAST_WEEK), None, PAGE, PAGE_BYTES),
    ),
    "video sessions of a person": (
        "idx_video_sessions_user_id",
        lambda tx: video_sessions.page(tx, PERSON, None, None, PAGE),
    ),
    "video sessions of a person, a later page": (
        "idx_video_sessions_user_id",
        lambda tx: video_sessions.page(tx, PERSON, None, BEFORE, PAGE),
    ),
    "video sessions by status of all in care": (
        "idx_video_sessions_status",
        lambda tx: video_sessions.page(tx, COUNSELOR, ACTIVE, None, PAGE),
    ),
    "events of a session": (
        "idx_video_analysis_events_session_id",
        lambda tx: _events_of_session(tx, EVENTS()),
    ),
    "events of a session, a later page": (
        "idx_video_analysis_events_session_id",
        lambda tx: _events_of_session(tx, EVENTS(), BEFORE),
    ),
    "events of a session by level and time": (
        "idx_video_analysis_events_session_id",
        lambda tx: _events_of_session(tx, EVENTS("low", **LAST_WEEK)),
    ),
    "events of a person": (
        "idx_video_analysis_events_user_id",
        lambda tx: video_events.page(tx, PERSON, EVENTS(), None, PAGE),
    ),
    "events of a person by level and time": (
        "idx_video_analysis_events_user_id",
        lambda tx: video_events.page(tx, PERSON, EVENTS("low", **LAST_WEEK), None, PAGE),
    ),
    "events by level and time of all in care": (
        "idx_video_analysis_events_risk_level",
        lambda tx: video_events.page(tx, COUNSELOR, EVENTS("critical", **LAST_WEEK), None, PAGE),
    ),
    "events of ten minutes of all in care": (
        "idx_video_analysis_events_event_at",
        lambda tx: video_events.page(
            tx, COUNSELOR, EVENTS(start_time=NOW - timedelta(minutes=10), end_time=NOW), None, PAGE
        ),
    ),
    "voice sessions of a person": (
        "idx_voice_sessions_user_id",
        lambda tx: voice.page(tx, PERSON.user_id, None, PAGE, PAGE_BYTES),
    ),
    "voice sessions of a person, a later page": (
        "idx_voice_sessions_user_id",
        lambda tx: voice.page(tx, PERSON.user_id, BEFORE, PAGE, PAGE_BYTES),
    ),
    "voice sessions that are cleaned up": (
        "idx_voice_sessions_extracted",
        lambda tx: voice.delete_extracted(tx, NOW, 500),
    ),
    "voice sessions that wait too long": (
        "idx_voice_sessions_waiting",
        lambda tx: voice.count_overdue(tx, NOW, 10_000),
    ),
    "voice sessions that were learned from": (
        "voice_sessions_pkey",
        lambda tx: voice.mark_extracted(tx, [PERSON.user_id]),
    ),
    "one analysis": ("analysis_records_pkey", lambda tx: analyses.find(tx, MIDDLE)),
    "one video session": ("video_sessions_stream_session_id_key", lambda tx: video_sessions.find(tx, "room-78")),
}


@pytest.fixture(scope="module")
def filled_dsn(postgres_admin_dsn: str, template_database: str) -> Iterator[str]:
    dsn = asyncio.run(postgres.create_database(postgres_admin_dsn, template_database))
    asyncio.run(million.fill(dsn))
    yield dsn
    asyncio.run(postgres.drop_database(postgres_admin_dsn, dsn))


@pytest.fixture
async def database(filled_dsn: str) -> AsyncIterator[Database]:
    database = Database(dsn_for(filled_dsn, slice_role("ingest")), "ingest", 1)
    yield database
    await database.close()


@contextmanager
def statements_of(database: Database) -> Iterator[list[tuple[str, tuple[Any, ...]]]]:
    """What is sent to the server meanwhile."""
    sent: list[tuple[str, tuple[Any, ...]]] = []

    def keep(_c: object, _u: object, statement: str, parameters: tuple[Any, ...], *_: object) -> None:
        sent.append((statement, parameters))

    event.listen(database.engine.sync_engine, "before_cursor_execute", keep)
    yield sent
    event.remove(database.engine.sync_engine, "before_cursor_execute", keep)


def nodes(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


async def explained(database: Database, listing: Listing) -> Mapping[str, Any]:
    """The plan of the listing's last statement; what it changed is taken back."""
    async with database.transaction() as tx:
        with suppress(_TakenBackError):
            async with tx.savepoint():
                with statements_of(database) as sent:
                    assert await listing(tx)
                raise _TakenBackError
        statement, parameters = sent[-1]
        found = await tx.driver.fetchval(f"EXPLAIN (FORMAT JSON) {statement}", *parameters)
    plan: Mapping[str, Any] = (json.loads(found) if isinstance(found, str) else found)[0]["Plan"]
    return plan


class _TakenBackError(Exception):
    pass


@pytest.mark.parametrize("name", LISTINGS)
async def test_each_listing_walks_its_index(database: Database, name: str) -> None:
    index, listing = LISTINGS[name]
    plan = await explained(database, listing)
    steps = list(nodes(plan))
    assert index in {step.get("Index Name") for step in steps}, plan
    read_whole = {step["Relation Name"] for step in steps if step["Node Type"] == "Seq Scan"}
    assert not read_whole & {*million.TABLES, "users"}, plan
    # Rows of one moment may be sorted, and what few rows a rare status or level leaves of everybody in care.
    assert not [step for step in steps if step["Node Type"] == "Sort" and step["Plan Rows"] > FEW], plan
