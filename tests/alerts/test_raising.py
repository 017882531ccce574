"""The feeds of fusion and patterns end in the same alerts, in whatever order they are read."""

from itertools import permutations
from typing import Any
from uuid import UUID

import pytest

from libs.common.db.database import Database
from services.alerts.risk import Level
from tests.alerts.support import PERSON, SESSION, assessed, follow_fusion, follow_patterns, fused
from tests.conftest import MakeDatabase

ALERTS = """
SELECT alert_id, risk_level, risk_score, risk_factors, risk_interpretation, created_at, state, session_id, delayed
FROM risk_alerts ORDER BY alert_id
"""
EVENTS = """
SELECT event_id, kind, risk_level, risk_score, source, session_id, chunk_id, event_time
FROM alert_events ORDER BY event_time, event_id
"""


async def derived(database: Database) -> tuple[list[Any], list[Any]]:
    async with database.read() as tx:
        return list(await tx.fetch_all(ALERTS)), list(await tx.fetch_all(EVENTS))


@pytest.fixture
def database(make_database: MakeDatabase) -> Database:
    return make_database("alerts")


async def test_one_alert_that_rises(database: Database) -> None:
    await follow_fusion(database, fused(0, Level.LOW, 0.1), fused(1, Level.HIGH, 0.7))
    await follow_fusion(database, fused(2, Level.CRITICAL, 0.9, cue=True))
    alerts, events = await derived(database)
    assert [(alert.risk_level, alert.risk_score) for alert in alerts] == [("critical", 0.9)]
    assert [event.kind for event in events] == ["opened", "raised"]
    assert alerts[0].risk_factors == ["CRITICAL_CUE", "AUDIO_DISTRESS"]


async def test_the_same_events_again_change_nothing(database: Database) -> None:
    batch = [fused(1, Level.HIGH, 0.7), fused(2, Level.CRITICAL, 0.9)]
    await follow_fusion(database, *batch)
    before = await derived(database)
    await follow_fusion(database, *batch)
    assert await derived(database) == before


async def test_a_lower_revision_is_told_and_closes_nothing(database: Database) -> None:
    await follow_fusion(database, fused(1, Level.HIGH, 0.7), fused(1, Level.LOW, 0.2, revision=2))
    alerts, events = await derived(database)
    assert [alert.risk_level for alert in alerts] == ["high"]
    assert [event.kind for event in events] == ["opened", "lowered"]


async def test_feeds_in_any_order_end_in_the_same_rows(make_database: MakeDatabase) -> None:
    steps = [
        (follow_fusion, fused(1, Level.HIGH, 0.6)),
        (follow_fusion, fused(3, Level.CRITICAL, 0.9)),
        (follow_patterns, assessed(1, Level.HIGH, 0.7)),
        (follow_patterns, assessed(2, Level.HIGH, 0.8, revision=2)),
    ]
    database = make_database("alerts")
    outcomes = []
    for order in permutations(steps):
        for follow, event in order:
            await follow(database, event)
        outcomes.append(await derived(database))
        async with database.transaction() as tx:
            await tx.execute("DELETE FROM users WHERE user_id = :user_id", {"user_id": PERSON})
    assert all(outcome == outcomes[0] for outcome in outcomes)
    assert [event.source for event in outcomes[0][1]] == ["fusion", "patterns", "patterns", "fusion"]


async def test_an_alert_and_its_rise_to_critical_are_notified_once_each(database: Database) -> None:
    await follow_fusion(database, fused(1, Level.HIGH, 0.7), fused(2, Level.HIGH, 0.8))
    await follow_fusion(database, fused(3, Level.CRITICAL, 0.9))
    async with database.read() as tx:
        levels = [row.risk_level for row in await tx.fetch_all("SELECT risk_level FROM notifications ORDER BY 1")]
    assert levels == ["critical", "high"]


async def test_a_late_chunk_takes_the_place_of_one_that_raised_as_much(database: Database) -> None:
    """Level, score, reasons and the number of events stay; only the event that raised is another."""
    first, late, last = (fused(minute, Level.HIGH, score) for minute, score in ((1, 0.7), (2, 0.8), (3, 0.8)))
    outcomes = []
    for order in ((first, late, last), (first, last, late)):
        for event in order:
            await follow_fusion(database, event)
        outcomes.append(await derived(database))
        async with database.transaction() as tx:
            await tx.execute("DELETE FROM users WHERE user_id = :user_id", {"user_id": PERSON})
    assert outcomes[0] == outcomes[1]


async def test_an_alert_that_nobody_resolves_still_rises(database: Database) -> None:
    """A voice that alarms and a text that calms, chunk after chunk, while the alert stays open."""
    for start in range(0, 3400, 850):
        minutes = range(start, start + 850)
        levels = ((Level.HIGH, 0.7, 1), (Level.MEDIUM, 0.4, 2))
        events = [fused(m, level, score, revision=revision) for m in minutes for level, score, revision in levels]
        await follow_fusion(database, *events)
    await follow_fusion(database, fused(4000, Level.CRITICAL, 0.95))
    alerts, events_told = await derived(database)
    assert [alert.risk_level for alert in alerts] == ["critical"]
    assert len(events_told) == 1 + 3400 + 1


async def test_a_long_time_offline_is_taken_in_one_go(database: Database) -> None:
    await follow_fusion(database, *(fused(minute, Level.HIGH, 0.7) for minute in range(3500)))
    assert [alert.risk_level for alert in (await derived(database))[0]] == ["high"]


async def test_calm_results_make_nobody_known(database: Database) -> None:
    await follow_fusion(database, fused(0, Level.MEDIUM, 0.5), fused(1, Level.LOW, 0.1, revision=2))
    await follow_patterns(database, assessed(0, Level.LOW, 0.1, revision=3))
    async with database.read() as tx:
        assert [await tx.scalar(f"SELECT count(*) FROM {table}") for table in ("users", "risk_facts")] == [0, 0]  # noqa: S608


async def test_lower_revisions_of_several_people_matter_only_where_theirs_alarmed(database: Database) -> None:
    other, session = UUID(int=2), UUID(int=77)
    await follow_fusion(database, fused(0, Level.HIGH, 0.8))
    await follow_fusion(
        database,
        fused(0, Level.LOW, 0.1, revision=2),
        fused(0, Level.LOW, 0.2, revision=2, person=other),
        fused(1, Level.HIGH, 0.9, person=other, session=session),
        fused(2, Level.LOW, 0.1, revision=2, person=other, session=session),
    )
    async with database.read() as tx:
        kept = await tx.fetch_all("SELECT user_id, session_id, revision FROM risk_facts")
    theirs = [(person, of, revision) for person, of in ((PERSON, SESSION), (other, session)) for revision in (1, 2)]
    assert sorted((row.user_id, row.session_id, row.revision) for row in kept) == sorted(theirs)
