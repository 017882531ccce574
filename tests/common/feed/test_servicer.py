"""FeedService over a real channel."""

import asyncio
from uuid import uuid4

import grpc
import pytest

from libs.common.db.database import Transaction
from libs.common.feed import backfill, store
from libs.common.feed.outbox import partition_of
from quietus.common.v1.feed_pb2 import (
    BackfillRequest,
    FeedPayload,
    FollowRequest,
    FollowResponse,
    GetFeedRequest,
    GetFeedResponse,
    ReportProgressRequest,
)
from quietus.common.v1.options_pb2 import ROLE_USER
from quietus_edge.errors import reason_of
from tests.common.feed.slices import PEOPLE, Slices, Token, Told, event, stub
from tests.common.rpc.harness import Serving

PERSON = PEOPLE[0]
PARTITION = partition_of(PERSON, 3)


async def feed(at: Serving) -> GetFeedResponse:
    return await stub(at).GetFeed(GetFeedRequest(), metadata=await Token(at).metadata())


async def follow(
    at: Serving, after_position: int = 0, feed_id: str = "", partition: int = PARTITION
) -> grpc.aio.UnaryStreamCall[FollowRequest, FollowResponse]:
    request = FollowRequest(
        feed_id=feed_id or (await feed(at)).feed_id,
        follower="fusion",
        partition=partition,
        after_position=after_position,
    )
    return stub(at).Follow(request, metadata=await Token(at).metadata())


async def refusal(call: grpc.aio.UnaryStreamCall[FollowRequest, FollowResponse]) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call.read()
    return raised.value.code(), reason_of(raised.value)


async def test_says_where_the_feed_stands(slices: Slices) -> None:
    async with slices.serving() as at:
        await slices.tell(event(PERSON, 1))
        await slices.tell(event(PERSON, 2))
        state = await feed(at)
    assert [each.partition for each in state.partitions] == [0, 1, 2]
    assert [each.head_position for each in state.partitions] == [2 * (n == PARTITION) for n in range(3)]
    assert len(state.feed_id) == 36


async def test_streams_the_past_and_then_what_comes(slices: Slices, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "MAX_READ_BATCHES", 2)
    for value in range(1, 6):
        await slices.tell(event(PERSON, value))
    async with slices.serving() as at:
        call = await follow(at, after_position=1)
        responses = [await call.read() for _ in range(4)]
        await slices.tell(event(PERSON, 6))
        responses.append(await call.read())
    assert [response.position for response in responses] == [2, 3, 4, 5, 6]
    assert [FeedPayload.FromString(response.payload).events[0] for response in responses] == [
        event(PERSON, value).event for value in range(2, 7)
    ]
    assert all(response.head_position >= response.position for response in responses)
    assert all(response.commit_time.seconds > 0 for response in responses)


async def test_gives_a_sign_of_life(slices: Slices) -> None:
    await slices.tell(event(PERSON, 1))
    async with slices.serving(heartbeat_seconds=0.01) as at:
        call = await follow(at, after_position=1)
        sign = await call.read()
        while not sign.head_position:
            sign = await call.read()
    assert (sign.position, sign.head_position, sign.payload) == (0, 1, b"")


async def test_refuses_a_position_that_nothing_can_follow(slices: Slices) -> None:
    failed = grpc.StatusCode.FAILED_PRECONDITION
    for value in range(4):
        await slices.tell(event(PERSON, value))
    async with slices.serving() as at:
        await slices.forget_through(2)
        assert await refusal(await follow(at, after_position=1)) == (failed, "FEED_PRUNED")
        assert await refusal(await follow(at, after_position=5)) == (failed, "FEED_BEYOND_HEAD")
        assert await refusal(await follow(at, feed_id=str(uuid4()))) == (failed, "FEED_CHANGED")
        assert await refusal(await follow(at, partition=3)) == (grpc.StatusCode.INVALID_ARGUMENT, "NO_SUCH_PARTITION")
        assert (await (await follow(at, after_position=2)).read()).position == 3


async def test_says_so_when_it_prunes_ahead_of_a_stream(slices: Slices, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "MAX_READ_BATCHES", 1)
    for value in range(4):
        await slices.tell(event(PERSON, value))
    async with slices.serving() as at:
        read = store.read_batches
        reached = asyncio.Event()

        async def prune_after_first(tx: Transaction, partition: int, after_position: int) -> list[store.Batch]:
            if after_position == 1:
                await slices.forget_through(3)
                reached.set()
                async with slices.source.read() as later:
                    return await read(later, partition, after_position)
            return await read(tx, partition, after_position)

        monkeypatch.setattr("libs.common.feed.tail.read_batches", prune_after_first)
        call = await follow(at)
        assert (await call.read()).position == 1
        assert (await refusal(call))[1] == "FEED_PRUNED"
        assert reached.is_set()


async def test_ends_with_ok_when_the_server_drains(slices: Slices) -> None:
    async with slices.serving() as at:
        call = await follow(at)
        await slices.tell(event(PERSON, 1))
        assert (await call.read()).position == 1
        await at.server.drain(5)
        assert await call.read() is grpc.aio.EOF
        assert await call.code() is grpc.StatusCode.OK


async def test_keeps_what_a_follower_reports(slices: Slices) -> None:
    async def progress() -> list[tuple[str, int, int]]:
        async with slices.source.read() as tx:
            rows = await tx.fetch_all("SELECT follower, partition, position FROM feed_followers")
        return [tuple(row) for row in rows]

    for value in range(3):
        await slices.tell(event(PERSON, value))
    async with slices.serving() as at:
        await (await follow(at, after_position=1)).read()
        assert await progress() == [("fusion", PARTITION, 1)]
        request = ReportProgressRequest(
            feed_id=(await feed(at)).feed_id, follower="fusion", partition=PARTITION, position=3
        )
        await stub(at).ReportProgress(request, metadata=await Token(at).metadata())
        assert await progress() == [("fusion", PARTITION, 3)]
        request.position = 4
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await stub(at).ReportProgress(request, metadata=await Token(at).metadata())
        assert reason_of(raised.value) == "FEED_BEYOND_HEAD"


async def test_nobody_reports_for_another(slices: Slices) -> None:
    async with slices.serving() as at:
        request = ReportProgressRequest(feed_id=(await feed(at)).feed_id, follower="patterns", partition=PARTITION)
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await stub(at).ReportProgress(request, metadata=await Token(at).metadata())
    assert raised.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert reason_of(raised.value) == "FOLLOWER_IS_ANOTHER"


async def test_people_may_not_follow(slices: Slices) -> None:
    async with slices.serving() as at:
        request = FollowRequest(feed_id=str(uuid4()), follower="fusion")
        call = stub(at).Follow(request, metadata=at.tokens.metadata(ROLE_USER, PERSON))
        assert (await refusal(call))[0] is grpc.StatusCode.PERMISSION_DENIED


async def test_backfills_a_partition_and_says_through_where(slices: Slices, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backfill, "_PAYLOAD_BYTES", 100)
    for value in range(5):
        await slices.tell(*(event(person, value) for person in PEOPLE))
    async with slices.serving(Told()) as at:
        request = BackfillRequest(follower="fusion", partition=PARTITION)
        responses = [each async for each in stub(at).Backfill(request, metadata=await Token(at).metadata())]
        *parts, last = responses
        assert (last.payload, last.through_position, last.feed_id) == (b"", 5, (await feed(at)).feed_id)
    events = [data for part in parts for data in FeedPayload.FromString(part.payload).events]
    people = [person for person in PEOPLE if partition_of(person, 3) == PARTITION]
    assert events == [event(person, value).event for value in range(5) for person in people]
    assert len(parts) > 1


async def test_offers_no_backfill_without_a_source(slices: Slices) -> None:
    async with slices.serving() as at:
        call = stub(at).Backfill(BackfillRequest(follower="fusion"), metadata=await Token(at).metadata())
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await call.read()
    assert (raised.value.code(), reason_of(raised.value)) == (grpc.StatusCode.UNIMPLEMENTED, "BACKFILL_NOT_OFFERED")
