"""Fourteen people with rows of all kinds, to ask AnalyticsService of, and what the tables themselves hold of them."""

from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, time, timedelta
from typing import Any, NamedTuple
from uuid import UUID, uuid4

from libs.common.db.database import Database
from libs.common.db.roles import dsn_for, slice_role
from libs.common.timestamps import to_timestamp
from quietus.common.v1.options_pb2 import ROLE_ADMIN, ROLE_USER
from quietus.ingest.v1 import analytics_pb2 as contract
from quietus.ingest.v1.analytics_pb2_grpc import AnalyticsServiceStub
from services.ingest.analytics import Period, Source
from tests.ingest import filling
from tests.ingest.suite import Person, Suite, running
from tests.ingest.test_sessions import care_for
from tests.support import postgres

PEOPLE = 14
MIDNIGHT = datetime.combine(datetime.now(UTC).date(), time(), UTC)
PERIOD = Period(MIDNIGHT - timedelta(days=6), MIDNIGHT)
VISION, AUDIO, TEXT, ANALYSES, VIDEO = Source
SCORES = {VISION: "distress_score", AUDIO: "stress_score", TEXT: "distress_probability"}
TABLES = {
    VISION: ("vision_predictions", "capture_end_time", "emotion"),
    AUDIO: ("audio_predictions", "capture_end_time", "emotion"),
    TEXT: ("text_predictions", "capture_end_time", "risk_level"),
    ANALYSES: ("analysis_records", "analyzed_at", "predicted_label"),
    VIDEO: ("video_analysis_events", "event_at", "risk_level"),
}

_ANALYSES = """
INSERT INTO analysis_records (id, user_id, input_text, input_text_state, source, predicted_label, confidence,
    model_version, ai_processing_ms, submitted_at, analyzed_at, request_id, receive_time, content_digest)
SELECT id, $1, '', 'not_kept', 'chat', (ARRAY['calm', 'sad', 'rare'])[1 + n % $3::int], 0.5, 'a-' || n % 2,
    n * 7 % 500, $2::timestamptz, $2::timestamptz + n * interval '1 hour', id, now(), ''
FROM (SELECT gen_random_uuid() AS id, n FROM generate_series(1, 30) AS n) AS new
"""
_VIDEO_SESSION = """
INSERT INTO video_sessions (id, user_id, stream_session_id, session_type, client_platform, status, started_at)
VALUES ($1, $2, $3, 'monitoring', 'web', 'ENDED', $4)
"""
_VIDEO_EVENTS = """
INSERT INTO video_analysis_events (id, session_id, user_id, event_at, risk_level, confidence, signals, model_version,
    latency_ms, content_digest)
SELECT gen_random_uuid(), $1, $2, $3::timestamptz + n * interval '7 minutes',
    (ARRAY['low', 'medium', 'high'])[1 + n % 3], 0.75, '[]', 'v-1', n * 13 % 900, '' FROM generate_series(1, 200) AS n
"""


class World(NamedTuple):
    suite: Suite
    stub: AnalyticsServiceStub
    people: list[Person]
    admin: Person
    counselor: Person


class Row(NamedTuple):
    user_id: UUID
    time: datetime
    label: str
    model: str
    confidence: float
    distress: float | None
    latency: int | None


@asynccontextmanager
async def populated(postgres_admin_dsn: str, template_database: str) -> AsyncIterator[World]:
    """In a week; three of the people have labels and a day that nobody else has."""
    dsn = await postgres.create_database(postgres_admin_dsn, template_database)
    database = Database(dsn_for(dsn, slice_role("ingest")), "ingest", 4)
    async with running(database) as suite:
        people = [suite.person(ROLE_USER) for _ in range(PEOPLE)]
        admin, counselor = suite.person(ROLE_ADMIN), suite.counselor()
        for number, person in enumerate(people):
            await _live(suite, person, number)
            await care_for(suite, counselor, person)
        yield World(suite, AnalyticsServiceStub(suite.channel), people, admin, counselor)
    await database.close()
    await postgres.drop_database(postgres_admin_dsn, dsn)


async def _live(suite: Suite, person: Person, number: int) -> None:
    is_rare = number < 3
    # Across the period's start, in the middle, and across its end.
    days = (6, 3, 0) if not is_rare else (6, 4, 3, 0)
    starts = [MIDNIGHT - timedelta(days=day, minutes=number + 5) for day in days]
    sessions = [await person.start_session(start) for start in starts]
    await filling.fill(suite.database, sessions, 240 + number)
    async with suite.database.transaction() as tx:
        await tx.driver.execute(_ANALYSES, person.user_id, starts[0], 3 if is_rare else 2)
        session_id = uuid4()
        await tx.driver.execute(_VIDEO_SESSION, session_id, person.user_id, session_id.hex, starts[1])
        await tx.driver.execute(_VIDEO_EVENTS, session_id, person.user_id, starts[1])
        if is_rare:
            change = "UPDATE {} SET {} WHERE user_id = $1 AND batch_number % 20 = 0"
            await tx.driver.execute(change.format("vision_predictions", "emotion = 'numb'"), person.user_id)
            await tx.driver.execute(change.format("text_predictions", "model_version = 'text-0'"), person.user_id)


async def rows_of(world: World, source: Source, people: list[Person], period: Period = PERIOD) -> list[Row]:
    """Read without any of the store's statements."""
    table, moment, label = TABLES[source]
    latency = {ANALYSES: "ai_processing_ms", VIDEO: "latency_ms"}.get(source, "NULL")
    statement = (
        f"SELECT user_id, {moment}, {label}, model_version, confidence::float8,"  # noqa: S608
        f" {SCORES.get(source, 'NULL')}::float8, {latency} FROM {table}"
    )
    async with world.suite.database.read() as tx:
        rows = [Row(*row) for row in await tx.fetch_all(statement)]
    chosen = {person.user_id for person in people}
    return [row for row in rows if row.user_id in chosen and period.start <= row.time < period.end]


def counts(rows: list[Row], key: Callable[[Row], Any]) -> dict[Any, tuple[int, int]]:
    """Rows and people of each cell."""
    cells: dict[Any, list[Row]] = defaultdict(list)
    for row in rows:
        cells[key(row)].append(row)
    return {cell: (len(found), len({row.user_id for row in found})) for cell, found in cells.items()}


def selection(period: Period = PERIOD, **people: Any) -> contract.Selection:
    return contract.Selection(start_time=to_timestamp(period.start), end_time=to_timestamp(period.end), **people)


def cohort(people: list[Person]) -> contract.Selection:
    return selection(cohort=contract.Cohort(anonymous_ids=[person.anonymous_id for person in people]))


EVERYBODY = selection(everybody=contract.Everybody())
