"""Everything that the source tells counts once, in order, whatever goes wrong."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from libs.common.db.database import Database, Transaction
from libs.common.feed import backfill, fill
from libs.common.feed.cursor import Cursor
from libs.common.feed.handler import FeedEvent
from libs.common.feed.outbox import Batch, OutboxEvent, partition_of
from libs.common.feed.own_feed import SliceEmptiedError
from libs.common.feed.partition import PartitionFollower
from libs.common.feed.servicer import FeedServicer
from libs.common.feed.stop import FeedStoppedError
from libs.common.rpc.errors import AppError, ErrorKind
from quietus.common.v1.feed_pb2 import FollowResponse
from tests.common.feed.commits import lose_answer_of_next_commit
from tests.common.feed.slices import PEOPLE, UNKNOWN, Ledger, Slices, Told, event, folded
from tests.support.postgres import execute

PERSON = PEOPLE[0]
PARTITION = partition_of(PERSON, 3)
ELSEWHERE = next(person for person in PEOPLE if partition_of(person, 3) != PARTITION)


@asynccontextmanager
async def stopping(slices: Slices, reason: str) -> AsyncIterator[None]:
    """Waits, at the end, until a partition has stopped for the reason, and said what to do."""
    stopped: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    stop = PartitionFollower._stop

    def noted(self: PartitionFollower, error: FeedStoppedError) -> None:
        stop(self, error)
        if not stopped.done():
            stopped.set_result(error.reason)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PartitionFollower, "_stop", noted)
        yield
        assert await asyncio.wait_for(stopped, timeout=20) == reason
    assert slices.metrics.degraded_reasons == ["feed_stopped:ingest"]


async def test_follows_every_partition(slices: Slices) -> None:
    async with slices.serving() as at:
        for value in range(5):
            await slices.tell(*(event(person, value) for person in PEOPLE))
        async with slices.following(at, Ledger()):
            await slices.until_applied()
            await slices.tell(*(event(person, 5) for person in PEOPLE))
            await slices.until_applied()
    assert await slices.ledger() == {person: folded(range(6)) for person in PEOPLE}
    assert slices.metrics.degraded_reasons == []


async def test_applies_what_waits_in_one_transaction(slices: Slices) -> None:
    ledger = Ledger()
    transactions: list[None] = []
    ledger.on_apply = lambda: transactions.append(None)
    for value in range(100):
        await slices.tell(event(PERSON, value))
    async with slices.serving() as at, slices.following(at, ledger):
        await slices.until_applied()
    assert await slices.ledger() == {PERSON: folded(range(100))}
    assert len(transactions) < 50


async def test_waits_for_its_source_and_comes_back_to_it(slices: Slices) -> None:
    async with slices.serving() as first:
        await slices.tell(event(PERSON, 1))
        async with slices.following(first, Ledger()) as token:
            await slices.until_applied()
            await first.server.drain(0)
            await slices.tell(event(PERSON, 2))
            async with slices.serving(port=int(first.address.rpartition(":")[2])) as token.at:
                await slices.until_applied()
    assert await slices.ledger() == {PERSON: folded([1, 2])}


@pytest.mark.parametrize("carried_out", [True, False])
@pytest.mark.parametrize("slice_name", ["ingest", "fusion"])
async def test_counts_once_though_a_commit_was_not_answered(
    slices: Slices, monkeypatch: pytest.MonkeyPatch, slice_name: str, *, carried_out: bool
) -> None:
    async with slices.serving() as at, slices.following(at, Ledger()):
        await slices.tell(event(PERSON, 1))
        await slices.until_applied()
        told = [1]
        database = slices.source if slice_name == "ingest" else slices.follower
        left = lose_answer_of_next_commit(monkeypatch, database, carried_out=carried_out)
        for value in (2, 3):
            try:
                await slices.tell(event(PERSON, value))
                told.append(value)
            except AppError:
                told.extend([value] if carried_out else [])
        await slices.until_applied()
    assert left == []
    assert await slices.ledger() == {PERSON: folded(told)}


async def test_two_followers_by_mistake_count_nothing_twice(slices: Slices, dsn: str) -> None:
    other = Slices(dsn, slices.source, Database(dsn, "fusion", pool_size=2))
    async with (
        slices.serving() as at,
        slices.following(at, Ledger(), max_events=2),
        other.following(at, Ledger(), max_events=3),
    ):
        for value in range(30):
            await slices.tell(event(PERSON, value), event(ELSEWHERE, value))
        await slices.until_applied()
    await other.follower.close()
    assert await slices.ledger() == {person: folded(range(30)) for person in (PERSON, ELSEWHERE)}


async def test_an_unknown_kind_stops_its_partition_alone(slices: Slices) -> None:
    await slices.tell(event(PERSON, 1))
    await slices.tell(event(PERSON, 2), event(PERSON, UNKNOWN))
    await slices.tell(event(PERSON, 3), event(ELSEWHERE, 1))
    async with slices.serving() as at, slices.following(at, Ledger()), stopping(slices, "UNKNOWN_EVENT"):
        await slices.until("SELECT count(*) = 2 FROM ledger")
        await slices.tell(event(ELSEWHERE, 2))
        await slices.until("SELECT bool_or(events = 2) FROM ledger")
    assert await slices.ledger() == {PERSON: folded([1]), ELSEWHERE: folded([1, 2])}


async def test_an_unreadable_batch_stops_its_partition_alone(slices: Slices) -> None:
    await slices.tell(event(PERSON, 1), event(ELSEWHERE, 1))
    await slices.tell(OutboxEvent(PERSON, b"\xff"))
    async with slices.serving() as at, slices.following(at, Ledger()), stopping(slices, "UNREADABLE_BATCH"):
        await slices.until("SELECT count(*) = 2 FROM ledger")
    assert await slices.ledger() == {PERSON: folded([1]), ELSEWHERE: folded([1])}


async def test_a_gap_in_the_stream_stops_its_partition(slices: Slices, monkeypatch: pytest.MonkeyPatch) -> None:
    response = FeedServicer._response

    def skipping(self: FeedServicer, batch: Batch) -> FollowResponse:
        return response(self, dataclasses.replace(batch, position=batch.position + 1))

    monkeypatch.setattr(FeedServicer, "_response", skipping)
    await slices.tell(event(PERSON, 1))
    async with slices.serving() as at, slices.following(at, Ledger()), stopping(slices, "FEED_GAP"):
        pass
    assert await slices.ledger() == {}


@pytest.mark.parametrize(
    ("reason", "change"),
    [
        ("FEED_CHANGED", "UPDATE ingest.feed_identity SET feed_id = gen_random_uuid()"),
        ("FEED_BEYOND_HEAD", "UPDATE ingest.feed_head SET position = 0"),
        ("FEED_PRUNED", "UPDATE ingest.feed_head SET pruned_position = 9, position = 9"),
        ("BACKFILL_CUT_OFF", "UPDATE fusion.feed_cursors SET position = -1"),
        ("BACKFILL_NOT_OFFERED", "DELETE FROM fusion.feed_cursors; UPDATE ingest.feed_head SET pruned_position = 1"),
    ],
)
async def test_stops_where_it_cannot_go_on(slices: Slices, dsn: str, reason: str, change: str) -> None:
    async with slices.serving() as at:
        await slices.tell(event(PERSON, 1))
        async with slices.following(at, Ledger()):
            await slices.until_applied()
        await execute(dsn, change)
        async with slices.following(at, Ledger()), stopping(slices, reason):
            pass
    assert await slices.ledger() == {PERSON: folded([1])}


async def test_begins_with_a_backfill_when_the_feed_was_pruned(slices: Slices) -> None:
    for value in range(6):
        await slices.tell(*(event(person, value) for person in PEOPLE))
    async with slices.serving(Told()) as at:
        await slices.forget_through(3)
        async with slices.following(at, Ledger()):
            await slices.until_applied()
            await slices.tell(*(event(person, 6) for person in PEOPLE))
            await slices.until_applied()
    assert await slices.ledger() == {person: folded(range(7)) for person in PEOPLE}


EMPTIED = "TRUNCATE fusion.feed_cursors; UPDATE fusion.feed_identity SET feed_id = gen_random_uuid()"


async def ends_as_emptied(running: "asyncio.Task[None]") -> None:
    async with asyncio.timeout(20):
        with pytest.raises(ExceptionGroup) as caught:
            await running
    assert caught.group_contains(SliceEmptiedError)


async def test_who_was_there_before_the_slice_was_emptied_doesnt_begin_to_fill_it(slices: Slices, dsn: str) -> None:
    """It is about to be stopped, and a backfill that is cut off can't be gone on with."""
    await slices.tell(event(PERSON, 1))
    async with slices.serving(Told()) as at, slices.following(at, Ledger()) as token:
        await slices.until_applied()
        await execute(dsn, EMPTIED)
        await slices.forget_through(1)
        await slices.tell(event(PERSON, 2))
        await ends_as_emptied(token.running)
        await slices.until("SELECT NOT EXISTS (SELECT FROM feed_cursors)")
        async with slices.following(at, Ledger()):
            await slices.until_applied()


async def test_a_slice_that_is_emptied_while_somebody_begins_is_begun_by_nobody(
    slices: Slices, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = fill.create_cursor

    async def emptied_meanwhile(tx: Transaction, source: str, partition: int, cursor: Cursor) -> None:
        await execute(dsn, EMPTIED)
        await create(tx, source, partition, cursor)

    monkeypatch.setattr(fill, "create_cursor", emptied_meanwhile)
    await slices.tell(event(PERSON, 1))
    async with slices.serving() as at, slices.following(at, Ledger()) as token:
        await ends_as_emptied(token.running)
    await slices.until("SELECT NOT EXISTS (SELECT FROM feed_cursors)")


async def test_a_slice_that_is_emptied_just_after_somebody_began_waits_for_that_and_takes_it_away(
    slices: Slices, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    create, emptying = fill.create_cursor, []

    async def emptied_behind(tx: Transaction, source: str, partition: int, cursor: Cursor) -> None:
        await create(tx, source, partition, cursor)
        emptying.append(asyncio.create_task(execute(dsn, EMPTIED)))
        await slices.until("SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event_type = 'Lock'")

    monkeypatch.setattr(fill, "create_cursor", emptied_behind)
    await slices.tell(event(PERSON, 1))
    async with slices.serving() as at, slices.following(at, Ledger()) as token:
        await ends_as_emptied(token.running)
    await asyncio.gather(*emptying)
    await slices.until("SELECT NOT EXISTS (SELECT FROM feed_cursors)")


class Broken(Told):
    async def events(self, tx: Transaction) -> AsyncIterator[OutboxEvent]:
        async for each in super().events(tx):
            yield each
        raise AppError(ErrorKind.UNAVAILABLE, "DATABASE_UNAVAILABLE")


async def test_a_backfill_that_was_cut_off_is_not_gone_on_with(slices: Slices, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backfill, "_PAYLOAD_BYTES", 1)
    await slices.tell(event(PERSON, 1), event(PERSON, 2))
    await slices.forget_through(1)
    async with slices.serving(Broken()) as at, slices.following(at, Ledger()), stopping(slices, "BACKFILL_CUT_OFF"):
        await slices.until("SELECT count(*) = 1 FROM ledger")


class Deaf(Ledger):
    """Answers its cancellation with what looks like an outage."""

    def __init__(self) -> None:
        super().__init__()
        self.applying = asyncio.Event()
        self.went_on = False

    async def apply(self, tx: Transaction, events: Sequence[FeedEvent]) -> None:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            self.went_on = True
            task.cancel()
        self.applying.set()
        try:
            await asyncio.Future()
        except asyncio.CancelledError:
            if self.went_on:
                raise
            raise AppError(ErrorKind.UNAVAILABLE, "DATABASE_UNAVAILABLE") from None


async def test_ends_though_its_cancellation_got_lost(slices: Slices) -> None:
    ledger = Deaf()
    await slices.tell(event(PERSON, 0))
    async with slices.serving() as at, slices.following(at, ledger):
        await ledger.applying.wait()
    assert not ledger.went_on
