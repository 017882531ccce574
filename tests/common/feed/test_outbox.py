"""Positions are dense and in commit order, however many write."""

import asyncio
import random
from collections.abc import Sequence
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from libs.common.feed.outbox import OutboxEvent, partition_of, payloads_by_partition
from quietus.common.v1.feed_pb2 import FeedPayload
from tests.common.feed.slices import PEOPLE, Slices, event

EVENTS = st.lists(st.builds(OutboxEvent, st.none() | st.uuids(), st.binary(max_size=20)), max_size=50)


@given(EVENTS, st.integers(1, 8))
def test_each_partition_has_its_people_in_order(events: Sequence[OutboxEvent], partitions: int) -> None:
    payloads = payloads_by_partition(events, partitions)
    for partition in range(partitions):
        expected = [each.event for each in events if partition_of(each.user_id, partitions) == partition]
        assert list(FeedPayload.FromString(payloads.get(partition, b"")).events) == expected


def test_a_person_stays_in_a_partition_for_ever() -> None:
    person = UUID("6ba7b810-9dad-11d1-80b4-00c04fd430c8")
    assert [partition_of(person, partitions) for partitions in (1, 2, 3, 8, 1024)] == [0, 1, 2, 7, 959]
    assert partition_of(None, 8) == 0


async def test_many_writers_leave_no_gap_and_no_deadlock(slices: Slices) -> None:
    rng = random.Random(7)  # noqa: S311 - a test's
    seen: list[tuple[int, int]] = []
    slices.source.after_append.append(lambda batches: seen.extend((b.partition, b.position) for b in batches))

    async def write(writer: int) -> None:
        for turn in range(15):
            people = rng.sample(PEOPLE, rng.randint(1, len(PEOPLE)))
            try:
                async with slices.source.transaction() as tx:
                    tx.append_to_outbox([event(person, writer) for person in people])
                    await tx.execute("SELECT pg_sleep(:seconds)", {"seconds": rng.random() / 1000})
                    if turn % 5 == 4:
                        raise InterruptedError
            except InterruptedError:
                pass

    await asyncio.gather(*(write(writer) for writer in range(8)))
    async with slices.source.read() as tx:
        heads = await tx.fetch_all("SELECT partition, position FROM feed_head ORDER BY partition")
        rows = await tx.fetch_all("SELECT partition, position FROM outbox ORDER BY partition, position")
        unordered = await tx.scalar(
            "SELECT count(*) FROM outbox AS a JOIN outbox AS b USING (partition)"
            " WHERE a.position < b.position AND a.commit_time > b.commit_time"
        )
    dense = [(head.partition, position) for head in heads for position in range(1, head.position + 1)]
    assert [tuple(row) for row in rows] == dense == sorted(seen)
    assert len(dense) > 8 * 12
    assert unordered == 0


async def test_whoever_sees_a_position_sees_all_before_it(slices: Slices) -> None:
    done = asyncio.Event()

    async def read() -> None:
        while not done.is_set():
            async with slices.source.read() as tx:
                rows = await tx.fetch_all("SELECT partition, max(position), count(*) FROM outbox GROUP BY partition")
            assert all(newest == count for _, newest, count in rows)

    async def write() -> None:
        for value in range(20):
            await slices.tell(*(event(person, value) for person in PEOPLE[value % 7 :]))

    reading = asyncio.create_task(read())
    await asyncio.gather(*(write() for _ in range(5)))
    done.set()
    await reading


async def test_what_a_savepoint_takes_back_is_not_told(slices: Slices) -> None:
    async with slices.source.transaction() as tx:
        tx.append_to_outbox([event(PEOPLE[0], 1)])
        try:
            async with tx.savepoint():
                tx.append_to_outbox([event(PEOPLE[0], 2)])
                raise InterruptedError
        except InterruptedError:
            tx.append_to_outbox([event(PEOPLE[0], 3)])
    async with slices.source.read() as tx:
        payload = await tx.scalar("SELECT payload FROM outbox")
    assert list(FeedPayload.FromString(payload).events) == [event(PEOPLE[0], value).event for value in (1, 3)]
