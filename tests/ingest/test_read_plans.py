"""What reads back and what analyses finds its rows by index, in tables of some size. Plans are run, and looked at."""

from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, time, timedelta
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import asyncpg
import pytest
import pytest_asyncio
from sqlalchemy.dialects import postgresql

from libs.common.db.database import Database
from libs.common.db.partitions import ensure_partitions
from libs.common.db.roles import dsn_for, slice_role
from services.ingest.analytics import Group, Period, Source, Width, bucket_edges
from services.ingest.store import analytics, predictions, research
from services.ingest.vocabulary import Modality
from tests.support import postgres

pytestmark = pytest.mark.asyncio(loop_scope="module")

USERS = 500
MIDNIGHT = datetime.combine(datetime.now(UTC).date(), time(), UTC)
DAY = Period(MIDNIGHT - timedelta(days=50), MIDNIGHT - timedelta(days=49))
QUARTER = Period(MIDNIGHT - timedelta(days=100), MIDNIGHT)

# Each person has a session a day for a hundred days; every tenth day it has 25 chunks of each modality, and events.
_FILL = (
    "SET session_replication_role = replica",  # no look-up of foreign keys
    """
INSERT INTO users (user_id, anonymous_id) SELECT md5('u' || n)::uuid, 'p_' || n FROM generate_series(1, $users) AS n""",
    """
INSERT INTO sessions (id, user_id, status, started_at, receive_time)
SELECT overlay(lpad(to_hex((extract(epoch FROM start) * 1000)::bigint), 12, '0')
    || substr(md5(u.user_id::text || d), 1, 20) placing '7' from 13 for 1)::uuid, u.user_id, 'ENDED', start, start
FROM users AS u, generate_series(0, 99) AS d,
    LATERAL (SELECT timestamptz '$midnight' - interval '100 days' + d * interval '1 day'
             + ('x' || substr(md5(u.user_id::text), 1, 4))::bit(16)::int * interval '1 s' AS start) AS s""",
    """
CREATE TEMPORARY TABLE rich AS
SELECT * FROM sessions WHERE (started_at::date - (timestamptz '$midnight')::date) % 10 = 0""",
    *(
        f"""
INSERT INTO {table} (id, session_id, user_id, chunk_id, capture_start_time, capture_end_time, receive_time,
    batch_number, batch_index, content_digest, model_version, {columns})
SELECT md5(s.id::text || n)::uuid, s.id, s.user_id, md5(s.id::text || n)::uuid, s.started_at + n * interval '5 s',
    s.started_at + (n + 1) * interval '5 s', s.started_at, n, 0, '', 'm-' || n % 3, {values}
FROM rich AS s, generate_series(1, 25) AS n"""  # noqa: S608
        for table, columns, values in (
            ("vision_predictions", "emotion, confidence, distress_score, frames_processed", "'sad', 0.5, 0.25, 30"),
            ("audio_predictions", "emotion, confidence, stress_score", "'sad', 0.5, 0.25"),
            (
                "text_predictions",
                "transcript, transcript_state, risk_level, distress_probability, confidence",
                "'', 'no_key', 'low', 0.25, 0.5",
            ),
        )
    ),
    """
INSERT INTO analysis_records (id, user_id, input_text, input_text_state, source, predicted_label, confidence,
    model_version, ai_processing_ms, submitted_at, analyzed_at, request_id, receive_time, content_digest)
SELECT new.id, s.user_id, '', 'no_key', 'chat', 'calm', 0.5, 'm-1', n, s.started_at, s.started_at + n * interval '1 m',
    new.id, s.started_at, ''
FROM rich AS s, generate_series(1, 10) AS n, LATERAL (SELECT md5('a' || s.id || n)::uuid AS id) AS new""",
    """
INSERT INTO video_analysis_events (id, session_id, user_id, event_at, risk_level, confidence, signals, model_version,
    latency_ms, content_digest)
SELECT md5('v' || s.id || n)::uuid, s.id, s.user_id, s.started_at + n * interval '1 m', 'low', 0.5, '[]', 'm-1', n, ''
FROM rich AS s, generate_series(1, 10) AS n""",
)


class World(NamedTuple):
    database: Database
    users: list[UUID]
    session_id: UUID


class Scan(NamedTuple):
    """One node that reads a table: what it is, of what, by what, and how many rows it looked at."""

    kind: str
    table: str
    index: str
    rows: float


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(postgres_admin_dsn: str, template_database: str) -> AsyncIterator[World]:
    dsn = await postgres.create_database(postgres_admin_dsn, template_database)
    database = Database(dsn_for(dsn, slice_role("ingest")), "ingest", 1)
    try:
        async with database.transaction() as tx:
            await ensure_partitions(tx, QUARTER.start.date().replace(day=1), 5)
        connection = await asyncpg.connect(dsn, server_settings={"search_path": "ingest"})
        for statement in _FILL:
            await connection.execute(statement.replace("$users", str(USERS)).replace("$midnight", MIDNIGHT.isoformat()))
        await connection.execute("ANALYZE")
        await connection.close()
        async with database.read() as tx:
            users = [row.user_id for row in await tx.fetch_all("SELECT user_id FROM users ORDER BY anonymous_id")]
            session_id = await tx.scalar(
                "SELECT id FROM sessions WHERE user_id = :user_id LIMIT 1", {"user_id": users[0]}
            )
        yield World(database, users, session_id)
    finally:
        await database.close()
        await postgres.drop_database(postgres_admin_dsn, dsn)


async def scans(world: World, statement: str, parameters: dict[str, Any]) -> list[Scan]:
    async with world.database.read() as tx:
        (plan,) = await tx.scalar("EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) " + statement, parameters)
    return [_scan(node) for node in _nodes(plan["Plan"]) if "Relation Name" in node and node["Actual Loops"]]


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for inner in node.get("Plans", ()):
        yield from _nodes(inner)


def _scan(node: dict[str, Any]) -> Scan:
    looked_at = node["Actual Rows"] + sum(
        node.get(removed, 0) for removed in ("Rows Removed by Filter", "Rows Removed by Index Recheck")
    )
    index = next((inner["Index Name"] for inner in _nodes(node) if "Index Name" in inner), "")
    return Scan(node["Node Type"], node["Relation Name"], index, looked_at * node["Actual Loops"])


def of(world: World, people: int | None) -> Group:
    return Group(None if people is None else world.users[:people], is_one_person=people == 1)


BY_PERSON = {
    Source.ANALYSES: "idx_analysis_records_user_id",
    Source.VIDEO: "idx_video_analysis_events_user_id",
}
BY_TIME = {
    Source.ANALYSES: "idx_analysis_records_analyzed_at",
    Source.VIDEO: "idx_video_analysis_events_event_at",
}
STATEMENTS: dict[str, Callable[[Source, Group], str]] = {
    "totals": analytics.totals_statement,
    "distribution": analytics.distribution_statement,
    "models": analytics.models_statement,
    "risk": analytics.risk_statement,
    "latency": analytics.latency_statement,
}
QUESTIONS = [
    (name, source)
    for name in STATEMENTS
    for source in Source
    if (name != "latency" or source.has_latency) and (name != "risk" or source.has_risk)
]


@pytest.mark.parametrize(("name", "source"), QUESTIONS)
@pytest.mark.parametrize(("people", "period"), [(1, QUARTER), (20, QUARTER), (None, DAY)])
async def test_a_question_looks_at_the_rows_that_it_rests_on(
    world: World, name: str, source: Source, people: int | None, period: Period
) -> None:
    group = of(world, people)
    parameters = analytics.parameters(group, period)
    edges = bucket_edges(period, Width.DAY, ZoneInfo("Africa/Nairobi"))

    found = await scans(world, STATEMENTS[name](source, group), {**parameters, "edges": edges})

    async with world.database.read() as tx:
        rests_on = (await analytics.totals(tx, source, group, period)).rows
    indexes = {scan.index for scan in found}
    if source in BY_TIME:
        assert indexes == {(BY_TIME if people is None else BY_PERSON)[source]}
    else:
        assert {"idx_sessions_started_at" if people is None else "idx_sessions_user_id"} <= indexes
    assert [scan for scan in found if scan.kind == "Seq Scan" and scan.rows > 100] == []
    # Sessions that may reach into a day are those of three.
    assert rests_on > 0
    assert sum(scan.rows for scan in found) <= 3.5 * rests_on + 100


async def test_partitions_of_other_months_are_left_alone(world: World) -> None:
    statement = analytics.distribution_statement(Source.VISION, of(world, None))

    found = await scans(world, statement, analytics.parameters(of(world, None), DAY))

    months = {scan.table for scan in found if scan.table.startswith("vision")}
    around = (DAY.start - timedelta(days=1), DAY.end + timedelta(days=1))
    assert months <= {f"vision_predictions_{day:%Y%m}" for day in around}


@pytest.mark.parametrize("modality", Modality)
@pytest.mark.parametrize("after", [None, UUID("80000000-0000-7000-8000-000000000000")])
async def test_a_page_is_read_in_the_order_of_the_unique_key(
    world: World, modality: Modality, after: UUID | None
) -> None:
    statement = predictions.page_statement(modality, world.session_id, after, 10, 1000)
    compiled = statement.compile(dialect=postgresql.dialect(), compile_kwargs={"literal_binds": True})

    found = await scans(world, str(compiled), {})

    (page,) = (scan for scan in found if "predictions" in scan.table)
    assert "session_id_chunk_id" in page.index
    assert 0 < page.rows <= 11
    assert {scan.table for scan in found} - {page.table} <= {"sessions"}
    assert all(scan.index == "sessions_pkey" for scan in found if scan.table == "sessions")


async def test_people_and_sessions_for_research_are_found_page_by_page(world: World) -> None:
    period = {"start": QUARTER.start, "end": QUARTER.end}
    after = sorted(world.users)[10]
    ten_people = await scans(world, research.PEOPLE, {**period, "after": after, "limit": 10})
    place = {"after_start": QUARTER.start, "after_id": UUID(int=0)}
    ten_sessions = await scans(
        world, research.SESSIONS, {"user_id": world.users[0], "end": QUARTER.end, "limit": 10, **place}
    )

    # Each person once, and of each some sessions until one is of the period.
    assert {scan.index for scan in ten_people} <= {"users_pkey", "idx_sessions_user_id"}
    assert sum(scan.rows for scan in ten_people) <= 200
    assert [(scan.index, scan.rows) for scan in ten_sessions] == [("idx_sessions_user_id", 10)]
