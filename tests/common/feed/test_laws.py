"""Laws of the fold: neither grouping into transactions nor other feeds change anything, not even around a bad event."""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
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
    "SELECT * FROM ledger ORDER BY source, user_id",
    "SELECT source, position, index, user_id FROM parked_events ORDER BY source, position, index",
    "SELECT source, position FROM feed_cursors ORDER BY source",
)
SOURCES = ("ingest", "patterns")
LAW = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
Told = Sequence[Sequence[tuple[UUID, int]]]
Outcome = list[list[tuple[Any, ...]]]


def received(batches: Told) -> list[ReceivedBatch]:
    ledger = Ledger()
    payloads = [FeedPayload(events=[event(*each).event for each in batch]) for batch in batches]
    return [
        read_payload(payload.SerializeToString(), position, NOW, ledger.read)
        for position, payload in enumerate(payloads, 1)
    ]


async def outcome(database: Database, groups: Iterable[tuple[str, Sequence[ReceivedBatch]]]) -> Outcome:
    """What the groups, each of a source, leave behind: the ledger, what is parked, and the cursors."""
    positions = dict.fromkeys(SOURCES, 0)
    async with database.transaction() as tx:
        await tx.driver.execute(EMPTY)
        for source in SOURCES:
            await create_cursor(tx, source, 0, Cursor(UUID(int=1), 0))
    for source, group in groups:
        events = [each for batch in group for each in batch.events]
        applier = Applier(database, source, 0, Ledger(source))
        await applier.apply(events, positions[source], group[-1].position)
        positions[source] = group[-1].position
    async with database.read() as tx:
        return [[tuple(row) for row in await tx.fetch_all(query)] for query in LEFT_BEHIND]


async def told(database: Database) -> list[bytes]:
    """What the follower told in its turn, without the bounds of its own batches."""
    async with database.read() as tx:
        rows = await tx.fetch_all("SELECT payload FROM outbox ORDER BY position")
    return [data for row in rows for data in FeedPayload.FromString(row.payload).events]


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as made:
        yield made


@pytest.fixture
def database(runner: asyncio.Runner, feed_dsn: str) -> Iterator[Database]:
    made = Database(feed_dsn, "fusion", pool_size=1)
    yield made
    runner.run(made.close())


@LAW
@given(batches=BATCHES, data=st.data())
def test_grouping_changes_nothing(
    runner: asyncio.Runner, database: Database, batches: Told, data: st.DataObject
) -> None:
    all_batches = received(batches)
    cuts = sorted(data.draw(st.sets(st.integers(1, len(batches)))) | {0, len(batches)})
    alone = runner.run(outcome(database, [("ingest", [batch]) for batch in all_batches]))
    told_alone = runner.run(told(database))
    grouped = runner.run(outcome(database, [("ingest", all_batches[start:end]) for start, end in pairwise(cuts)]))
    assert grouped == alone
    assert runner.run(told(database)) == told_alone


@LAW
@given(batches=BATCHES, data=st.data())
def test_feeds_do_not_disturb_each_other(
    runner: asyncio.Runner, database: Database, batches: Told, data: st.DataObject
) -> None:
    one_after_the_other = [(source, [batch]) for source in SOURCES for batch in received(batches)]
    turns = data.draw(st.permutations([source for source, _ in one_after_the_other]))
    waiting = {source: iter(received(batches)) for source in SOURCES}
    interleaved = [(source, [next(waiting[source])]) for source in turns]
    expected = runner.run(outcome(database, one_after_the_other))
    assert runner.run(outcome(database, interleaved)) == expected
