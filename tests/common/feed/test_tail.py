"""The tail gives what is committed, in order and without gaps, whoever committed it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from libs.common.db.database import Database
from libs.common.feed import notify
from libs.common.feed.outbox import Batch, partition_of
from libs.common.feed.own_feed import SliceEmptiedError
from libs.common.feed.tail import Tail
from libs.common.observability.metrics import Metrics
from tests.common.feed.commits import lose_answer_of_next_commit
from tests.common.feed.slices import PEOPLE, Slices, event, eventually
from tests.support.postgres import execute

PERSON = PEOPLE[0]
PARTITION = partition_of(PERSON, 3)
NEVER_SECONDS = 3600.0


@asynccontextmanager
async def running(tail: Tail) -> AsyncIterator[None]:
    """With a follower."""
    task = asyncio.create_task(tail.run())
    try:
        with tail.followed():
            async with asyncio.timeout(10):
                yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def a_tail(database: Database, poll_seconds: float = NEVER_SECONDS) -> Tail:
    return Tail(database, Metrics("ingest"), poll_seconds=poll_seconds)


async def positions(tail: Tail, after: int = 0) -> list[int]:
    return [batch.position for batch in await tail.after(PARTITION, after)]


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Positions after which the tail has read from Postgres."""
    from libs.common.feed import tail as module  # noqa: PLC0415

    made: list[int] = []
    read = module.read_batches

    async def counted(tx: object, partition: int, after_position: int) -> list[Batch]:
        made.append(after_position)
        return await read(tx, partition, after_position)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "read_batches", counted)
    return made


async def test_gives_from_memory_what_this_process_commits(slices: Slices, reads: list[int]) -> None:
    tail = a_tail(slices.source)
    await slices.tell(event(PERSON, 1))
    async with running(tail):
        await tail.wait_beyond(PARTITION, 0)
        await slices.tell(event(PERSON, 2))
        await slices.tell(event(PERSON, 3))
        await tail.wait_beyond(PARTITION, 2)
        assert await positions(tail, after=1) == [2, 3]
        assert reads == []
        assert await positions(tail) == [1, 2, 3]
        assert reads == [0]


async def test_reads_what_was_published_out_of_order(slices: Slices, reads: list[int]) -> None:
    tail = a_tail(slices.source)
    held: list[Batch] = []
    await slices.tell(event(PERSON, 1))
    async with running(tail):
        await tail.wait_beyond(PARTITION, 0)
        slices.source.after_append[:] = [held.extend]
        await slices.tell(event(PERSON, 2))
        slices.source.after_append[:] = [tail.publish]
        await slices.tell(event(PERSON, 3))
        await tail.wait_beyond(PARTITION, 2)
        tail.publish(held)
        assert await positions(tail, after=1) == [2, 3]
        # From where it knew on; the poll may have looked once more in between.
        assert reads[0] == 1


async def test_hears_of_other_processes_by_notify(slices: Slices, dsn: str) -> None:
    other = Database(dsn, "ingest", pool_size=1)
    here, there = a_tail(slices.source), a_tail(other)
    async with running(here), running(there):
        for value in (1, 2, 3):
            await slices.tell(event(PERSON, value))
            await there.wait_beyond(PARTITION, value - 1)
        assert await positions(there) == [1, 2, 3]
    await other.close()


async def test_finds_by_polling_what_nobody_notified(slices: Slices, dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def deaf(self: notify.Notifier) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(notify.Notifier, "run", deaf)
    other = Database(dsn, "ingest", pool_size=1)
    tail = a_tail(other, poll_seconds=0.02)
    async with running(tail):
        await slices.tell(event(PERSON, 1))
        await tail.wait_beyond(PARTITION, 0)
    await other.close()


async def test_reads_nothing_while_nobody_follows(slices: Slices, dsn: str, reads: list[int]) -> None:
    other = Database(dsn, "ingest", pool_size=1)
    tail = a_tail(other, poll_seconds=0.02)
    job = asyncio.create_task(tail.run())
    for value in (1, 2, 3):
        await slices.tell(event(PERSON, value))
        await eventually(lambda value=value: tail.head(PARTITION) == value)
    assert reads == []
    async with asyncio.timeout(10):
        with tail.followed():
            assert await positions(tail) == [1, 2, 3]
            await slices.tell(event(PERSON, 4))
            await tail.wait_beyond(PARTITION, 3)
            assert await positions(tail, after=3) == [4]
    job.cancel()
    await asyncio.gather(job, return_exceptions=True)
    await other.close()


async def test_hears_at_once_of_what_was_committed_before_somebody_followed(slices: Slices, dsn: str) -> None:
    other = Database(dsn, "ingest", pool_size=1)
    tail = a_tail(other)
    await slices.tell(event(PERSON, 1))
    job = asyncio.create_task(tail.run())
    await eventually(lambda: tail.head(PARTITION) == 1)
    await slices.tell(event(PERSON, 2))
    async with asyncio.timeout(10):
        with tail.followed():
            await tail.wait_beyond(PARTITION, 1)
    job.cancel()
    await asyncio.gather(job, return_exceptions=True)
    await other.close()


async def test_many_commits_are_few_notifications(slices: Slices, dsn: str) -> None:
    other = Database(dsn, "ingest", pool_size=1)
    listener = await other.connect_directly()
    heard: list[int] = []
    done = asyncio.Event()

    async def hear(*_: object) -> None:
        heard.append(1)
        done.set()

    await listener.add_listener("quietus_feed_ingest", hear)
    tail = a_tail(slices.source)
    await slices.tell(event(PERSON, 1))
    async with running(tail):
        await tail.wait_beyond(PARTITION, 0)
        for _ in range(200):
            tail.publish([])
        await done.wait()
    assert len(heard) <= 2
    await listener.close()
    await other.close()


async def test_listens_again_after_its_connection_was_lost(
    slices: Slices, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notify, "_RECONNECT_SECONDS", 0.01)
    other = Database(dsn, "ingest", pool_size=1)
    here, there = a_tail(slices.source), a_tail(other)
    async with running(here), running(there):
        await slices.tell(event(PERSON, 1))
        await there.wait_beyond(PARTITION, 0)
        async with slices.source.transaction() as tx:
            await tx.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query ~ '^(LISTEN|NOTIFY)'")
        await slices.tell(event(PERSON, 2))
        await there.wait_beyond(PARTITION, 1)
    await other.close()


@pytest.mark.parametrize("carried_out", [True, False])
async def test_forgets_after_an_error_in_commit(
    slices: Slices, monkeypatch: pytest.MonkeyPatch, *, carried_out: bool
) -> None:
    tail = a_tail(slices.source)
    async with running(tail):
        await slices.tell(event(PERSON, 1))
        await tail.wait_beyond(PARTITION, 0)
        lose_answer_of_next_commit(monkeypatch, slices.source, carried_out=carried_out)
        with pytest.raises(Exception, match="DATABASE_UNAVAILABLE"):
            await slices.tell(event(PERSON, 2))
        await slices.tell(event(PERSON, 3))
        newest = 3 if carried_out else 2
        await tail.wait_beyond(PARTITION, newest - 1)
        batches = await tail.after(PARTITION, 0)
        assert [batch.position for batch in batches] == list(range(1, newest + 1))
        assert event(PERSON, 3).event in batches[-1].payload


async def test_ends_when_its_slice_is_emptied(slices: Slices, dsn: str) -> None:
    """What it holds is of what is gone, and whoever follows it has to hear of another feed."""
    tail = a_tail(slices.source, poll_seconds=0.01)
    job = asyncio.create_task(tail.run())
    await slices.tell(event(PERSON, 1))
    await eventually(lambda: tail.head(PARTITION) == 1)
    await execute(dsn, "UPDATE ingest.feed_identity SET feed_id = gen_random_uuid()")
    async with asyncio.timeout(20):
        with pytest.raises(ExceptionGroup) as caught:
            await job
    assert caught.group_contains(SliceEmptiedError)
