"""The law of the fold: how positions are grouped into transactions changes nothing, not even around a bad event."""

import asyncio
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from libs.common.db.database import Database
from libs.common.feed.apply import Applier
from libs.common.feed.cursor import Cursor, create_cursor
from libs.common.feed.inbox import ReceivedBatch, read_payload
from quietus.common.v1.feed_pb2 import FeedPayload
from tests.common.feed.slices import EMPTY, PEOPLE, POISON, Ledger, event

NOW = datetime(2025, 3, 1, tzinfo=UTC)
TOLD = st.tuples(st.sampled_from(PEOPLE[:4]), st.integers(0, 30).map(lambda value: value or POISON))
BATCHES = st.lists(st.lists(TOLD, min_size=1, max_size=4), min_size=1, max_size=8)
LEFT_BEHIND = (
    "SELECT * FROM ledger ORDER BY user_id",
    "SELECT position, index, user_id FROM parked_events ORDER BY position, index",
    "SELECT position FROM feed_cursors",
)
Outcome = tuple[list[list[tuple[Any, ...]]], list[bytes]]


def received(batches: Sequence[Sequence[tuple[UUID, int]]]) -> list[ReceivedBatch]:
    ledger = Ledger()
    payloads = [FeedPayload(events=[event(*each).event for each in batch]) for batch in batches]
    return [
        read_payload(payload.SerializeToString(), position, NOW, ledger.user_of)
        for position, payload in enumerate(payloads, 1)
    ]


async def outcome(database: Database, groups: Sequence[Sequence[ReceivedBatch]]) -> Outcome:
    """What the groups leave behind: the ledger, what is parked, the cursor, and what was told in turn."""
    async with database.transaction() as tx:
        await tx.driver.execute(EMPTY)
        await create_cursor(tx, "ingest", 0, Cursor(UUID(int=1), 0))
    applier, position = Applier(database, "ingest", 0, Ledger()), 0
    for group in groups:
        events = [each for batch in group for each in batch.events]
        await applier.apply(events, position, group[-1].position)
        position = group[-1].position
    async with database.read() as tx:
        rows = [[tuple(row) for row in await tx.fetch_all(query)] for query in LEFT_BEHIND]
        told = await tx.fetch_all("SELECT payload FROM outbox ORDER BY position")
    return rows, [data for row in told for data in FeedPayload.FromString(row.payload).events]


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as made:
        yield made


@pytest.fixture
def database(runner: asyncio.Runner, feed_dsn: str) -> Iterator[Database]:
    made = Database(feed_dsn, "fusion", pool_size=1)
    yield made
    runner.run(made.close())


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=BATCHES, data=st.data())
def test_grouping_changes_nothing(
    runner: asyncio.Runner, database: Database, batches: Sequence[Sequence[tuple[UUID, int]]], data: st.DataObject
) -> None:
    all_batches = received(batches)
    cuts = sorted(data.draw(st.sets(st.integers(1, len(batches)))) | {0, len(batches)})
    grouped = [all_batches[start:end] for start, end in pairwise(cuts)]
    alone = runner.run(outcome(database, [[batch] for batch in all_batches]))
    assert runner.run(outcome(database, grouped)) == alone
