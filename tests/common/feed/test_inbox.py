"""What waits between a stream and the transactions."""

import asyncio
from datetime import UTC, datetime
from uuid import UUID

import pytest

from libs.common.feed.handler import FeedEvent, Read, UnknownEvent
from libs.common.feed.inbox import NOBODY, Inbox, ReceivedBatch, read_payload
from libs.common.feed.stop import FeedStoppedError
from quietus.common.v1.feed_pb2 import FeedPayload

NOW = datetime(2025, 3, 1, tzinfo=UTC)
PERSON = UUID(int=1)


def batch(position: int, events: int = 1, size: int = 10) -> ReceivedBatch:
    payload = FeedPayload(events=[b""] * events).SerializeToString()
    read = read_payload(payload, position, NOW, lambda _: Read(PERSON, None))
    return ReceivedBatch(read.position, read.commit_time, read.events, size)


async def test_takes_together_what_waits() -> None:
    inbox = Inbox(max_bytes=1000)
    for position in range(1, 6):
        await inbox.put(batch(position, events=2))
    assert [each.position for each in await inbox.take(max_events=5)] == [1, 2, 3]
    assert [each.position for each in await inbox.take(max_events=1)] == [4]
    inbox.end()
    assert [each.position for each in await inbox.take(max_events=100)] == [5]
    assert await inbox.take(max_events=100) == []


async def test_an_error_comes_after_what_came_before_it() -> None:
    inbox = Inbox(max_bytes=1000)
    await inbox.put(batch(1))
    inbox.end(FeedStoppedError("UNKNOWN_EVENT"))
    assert len(await inbox.take(max_events=100)) == 1
    with pytest.raises(FeedStoppedError, match="UNKNOWN_EVENT"):
        await inbox.take(max_events=100)


async def test_a_full_inbox_makes_the_stream_wait() -> None:
    inbox = Inbox(max_bytes=20)
    for position in (1, 2):
        await inbox.put(batch(position))
    waiting = asyncio.ensure_future(inbox.put(batch(3)))
    await asyncio.wait({waiting}, timeout=0.01)
    assert not waiting.done()
    await inbox.take(max_events=1)
    await waiting
    assert [each.position for each in await inbox.take(max_events=100)] == [2, 3]


def test_reads_whom_each_event_is_about() -> None:
    said = {b"a": Read(PERSON, "A"), b"b": Read(None, "B")}
    payload = FeedPayload(events=[b"a", b"b"]).SerializeToString()
    read = read_payload(payload, 7, NOW, said.__getitem__, first_index=3)
    assert list(read.events) == [
        (PERSON, FeedEvent(7, 3, b"a", NOW, "A")),
        (NOBODY, FeedEvent(7, 4, b"b", NOW, "B")),
    ]


def test_says_why_it_cannot_read() -> None:
    def unknown(_: bytes) -> Read:
        raise UnknownEvent

    payload = FeedPayload(events=[b"a"]).SerializeToString()
    with pytest.raises(FeedStoppedError, match="UNKNOWN_EVENT"):
        read_payload(payload, 1, NOW, unknown)
    with pytest.raises(FeedStoppedError, match="UNREADABLE_BATCH"):
        read_payload(b"\xff\xff", 1, NOW, lambda _: Read(None, None))
    with pytest.raises(FeedStoppedError, match="UNREADABLE_BATCH"):
        read_payload(payload, 1, NOW, lambda data: Read(UUID(data.decode()), None))


@pytest.mark.parametrize(("waiting_bytes", "fewest", "most"), [(0, 0, 5), (600, 50, 100)])
async def test_where_enough_waits_others_have_their_turns_while_more_is_read(
    waiting_bytes: int, fewest: int, most: int
) -> None:
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    inbox = Inbox(max_bytes=1000)
    await inbox.put(batch(1, size=waiting_bytes))
    payload = FeedPayload(events=[b"a"] * 1000).SerializeToString()
    beside = asyncio.ensure_future(others())
    await inbox.receive(payload, 7, NOW, lambda _: Read(PERSON, None))
    beside.cancel()
    assert (await inbox.take(max_events=100))[-1] == read_payload(payload, 7, NOW, lambda _: Read(PERSON, None))
    assert fewest <= turns <= most


async def test_what_cannot_be_read_is_not_put() -> None:
    inbox = Inbox(max_bytes=1000)
    with pytest.raises(FeedStoppedError, match="UNREADABLE_BATCH"):
        await inbox.receive(b"\xff\xff", 1, NOW, lambda _: Read(None, None))
    inbox.end()
    assert await inbox.take(max_events=1) == []
