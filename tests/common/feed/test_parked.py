"""A bad event stops nobody else, and comes back in order."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import asyncpg
import pytest

from libs.common.clock import utc_now
from libs.common.feed.apply import Applier
from libs.common.feed.cli import parked_main
from libs.common.feed.cursor import FILLING, Cursor, CursorMovedError, create_cursor
from libs.common.feed.inbox import ReceivedBatch, read_payload
from libs.common.feed.outbox import partition_of
from libs.common.feed.parked import BEHIND, lock_first, unpark
from libs.common.feed.retry import Retried, retry_parked
from libs.common.rpc.errors import AppError, ErrorKind
from quietus.common.v1.feed_pb2 import FeedPayload
from tests.common.feed.slices import PEOPLE, POISON, Ledger, Slices, event, eventually, folded

BAD = PEOPLE[0]
GOOD = next(person for person in PEOPLE[1:] if partition_of(person, 3) == partition_of(BAD, 3))


async def parked(slices: Slices) -> list[tuple[int, str]]:
    async with slices.follower.read() as tx:
        rows = await tx.fetch_all("SELECT * FROM parked_events ORDER BY partition, position, index")
    assert {row.user_id for row in rows} <= {BAD}
    return [(row.position, row.reason) for row in rows]


async def tell_poison(slices: Slices) -> None:
    await slices.tell(event(BAD, 1), event(GOOD, 1), event(BAD, POISON), event(BAD, 2), event(GOOD, 2))
    await slices.tell(event(GOOD, 3), event(BAD, 3))


@asynccontextmanager
async def told_poison(slices: Slices, ledger: Ledger) -> AsyncIterator[None]:
    """The follower has seen it all, and goes on."""
    async with slices.serving() as at, slices.following(at, ledger):
        await tell_poison(slices)
        await slices.until_applied()
        yield


async def test_parks_a_person_while_others_go_on(slices: Slices) -> None:
    async with told_poison(slices, Ledger()):
        pass
    assert await slices.ledger() == {BAD: folded([1]), GOOD: folded([1, 2, 3])}
    (first, reason), *rest = await parked(slices)
    assert (first, reason.split(":")[0]) == (1, "ValueError at tests/common/feed/slices.py")
    assert rest == [(1, BEHIND), (2, BEHIND)]
    assert slices.metrics.degraded_reasons == ["parked_events:ingest"]
    async with slices.follower.read() as tx:
        told = await tx.scalar("SELECT string_agg(convert_from(payload, 'LATIN1'), '') FROM outbox")
    assert str(POISON) not in told


async def test_retry_applies_in_order_and_health_recovers(slices: Slices) -> None:
    ledger = Ledger()
    async with told_poison(slices, ledger):
        assert await retry_parked(slices.follower, "ingest", ledger) == Retried(applied=0, people_left=1)
        assert len(await parked(slices)) == 3
        ledger.poisonous.clear()
        assert await retry_parked(slices.follower, "ingest", ledger) == Retried(applied=3, people_left=0)
        await slices.tell(event(BAD, 4))
        await slices.until_applied()
        await eventually(lambda: not slices.metrics.degraded_reasons)
    assert await parked(slices) == []
    assert (await slices.ledger())[BAD] == folded([1, POISON, 2, 3, 4])


async def test_retry_and_follower_never_miss_each_other(slices: Slices) -> None:
    ledger = Ledger()
    async with told_poison(slices, ledger):
        ledger.poisonous.clear()

        async def tell() -> None:
            for value in range(4, 60):
                await slices.tell(event(BAD, value))

        telling = asyncio.create_task(tell())
        while not telling.done():
            await retry_parked(slices.follower, "ingest", ledger)
        await telling
        await slices.until_applied()
        await retry_parked(slices.follower, "ingest", ledger)
    assert await parked(slices) == []
    assert (await slices.ledger())[BAD] == folded([1, POISON, 2, 3, *range(4, 60)])


async def test_a_follower_waits_for_a_retry_before_it_parks_behind(slices: Slices) -> None:
    partition = partition_of(BAD, 3)
    async with told_poison(slices, Ledger()):
        pass
    applier = Applier(slices.follower, "ingest", partition, Ledger())
    payload = FeedPayload(events=[event(BAD, 9).event]).SerializeToString()
    next_batch = read_payload(payload, 3, utc_now(), Ledger().read)
    async with slices.follower.transaction() as tx:
        while (first := await lock_first(tx, "ingest", BAD)) is not None:
            await unpark(tx, "ingest", first)
        applying = asyncio.create_task(applier.apply(next_batch.events, expected=2, position=3))
        await slices.until("SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
    assert await applying == 0
    assert await parked(slices) == []


async def test_a_follower_that_knew_of_nothing_parked_sees_what_another_one_parked(slices: Slices) -> None:
    def batch(position: int, value: int) -> ReceivedBatch:
        payload = FeedPayload(events=[event(BAD, value).event]).SerializeToString()
        return read_payload(payload, position, utc_now(), Ledger().read)

    mended = Ledger()
    mended.poisonous.clear()
    one, other = (Applier(slices.follower, "ingest", 0, ledger) for ledger in (mended, Ledger()))
    async with slices.follower.transaction() as tx:
        await create_cursor(tx, "ingest", 0, Cursor(UUID(int=1), 0))
    assert await one.apply(batch(1, 7).events, expected=0, position=1) == 0
    assert await other.apply(batch(2, POISON).events, expected=1, position=2) == 1
    with pytest.raises(CursorMovedError):
        await one.apply(batch(2, POISON).events, expected=1, position=2)
    assert await one.apply(batch(3, 8).events, expected=2, position=3) == 1
    assert [position for position, _ in await parked(slices)] == [2, 3]


async def test_what_comes_behind_a_parked_event_parks_while_a_slice_is_filled_too(slices: Slices) -> None:
    """The cursor stands still meanwhile."""
    applier = Applier(slices.follower, "ingest", 0, Ledger())
    async with slices.follower.transaction() as tx:
        await create_cursor(tx, "ingest", 0, Cursor(UUID(int=1), FILLING))
    assert [
        await applier.apply(_batch_of_bad(index, value).events, FILLING, FILLING)
        for index, value in enumerate((7, POISON, 8, 9))
    ] == [0, 1, 1, 1]
    assert [reason == BEHIND for _, reason in await parked(slices)] == [False, True, True]


def _batch_of_bad(index: int, value: int) -> ReceivedBatch:
    payload = FeedPayload(events=[event(BAD, value).event]).SerializeToString()
    return read_payload(payload, 0, utc_now(), Ledger().read, index)


async def test_an_outage_parks_nobody(slices: Slices) -> None:
    ledger = Ledger()
    failures = iter(
        [
            AppError(ErrorKind.UNAVAILABLE, "DATABASE_UNAVAILABLE"),
            *(asyncpg.DeadlockDetectedError("") for _ in range(4)),
            asyncpg.AdminShutdownError(""),
            ConnectionResetError(),
        ]
    )

    def fail() -> None:
        for failure in failures:
            raise failure

    ledger.on_apply = fail
    async with slices.serving() as at, slices.following(at, ledger):
        await slices.tell(event(BAD, 1))
        await slices.until_applied()
    assert next(failures, None) is None
    assert await parked(slices) == []
    assert await slices.ledger() == {BAD: folded([1])}


async def test_a_failure_that_passes_parks_nobody(slices: Slices) -> None:
    ledger = Ledger()
    failures = [ValueError(), ValueError()]

    def fail() -> None:
        if failures:
            raise failures.pop()

    ledger.on_apply = fail
    async with slices.serving() as at, slices.following(at, ledger):
        await slices.tell(event(BAD, 1))
        await slices.until_applied()
    assert await parked(slices) == []
    assert await slices.ledger() == {BAD: folded([1])}


async def test_the_command_lists_and_retries_without_naming_anybody(
    slices: Slices, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger = Ledger()
    assert await parked_main(slices.follower, {"ingest": ledger}, ["list"]) == 0
    assert "ingest: nothing is parked" in capsys.readouterr().out
    async with told_poison(slices, ledger):
        pass
    capsys.readouterr()
    assert await parked_main(slices.follower, {"ingest": ledger}, ["list", "--source", "ingest"]) == 0
    listed = capsys.readouterr().out
    assert f"ingest {partition_of(BAD, 3)}/1/" in listed
    assert "3 events  ValueError at tests/common/feed/slices.py:" in listed
    assert str(BAD) not in listed
    assert await parked_main(slices.follower, {"ingest": ledger}, ["retry"]) == 1
    ledger.poisonous.clear()
    assert await parked_main(slices.follower, {"ingest": ledger}, ["retry"]) == 0
    assert "ingest: 3 events applied, 0 people left" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        await parked_main(slices.follower, {"ingest": ledger}, ["drop"])
