"""Sessions and batches from an app to the service, also when that is away."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import grpc
import pytest

from quietus.ingest.v1.ingest_pb2 import REFUSAL_REASON_CONFLICT, Credit
from quietus_edge import Chunk, EdgeClient
from quietus_edge.errors import (
    DeliveryError,
    FlushTimeoutError,
    InvalidInputError,
    SpoolLockedError,
)
from quietus_edge.ids import uuid7
from tests.edge.fake_suite import FakeSuite, running_suite
from tests.edge.make import FAST, PATIENCE_SECONDS, audio, becomes_unreachable, client, next_report, text, vision


async def test_a_session_is_started_streamed_and_ended_once(suite: FakeSuite, spool: Path) -> None:
    async with client(suite, spool) as edge:
        async with edge.session() as session:
            first = await session.record(vision=vision(), audio=audio(), text=text())
            late = await session.record(vision=vision())
            await session.record(text=text(), chunk=late)
        await edge.flush(PATIENCE_SECONDS)
        status = edge.status()
    session_id = str(session.session_id)
    assert set(suite.stored.values()) == {1}
    assert {(chunk, modality) for _, chunk, modality in suite.stored} == {
        (str(first.chunk_id), "vision"),
        (str(first.chunk_id), "audio"),
        (str(first.chunk_id), "text"),
        (str(late.chunk_id), "vision"),
        (str(late.chunk_id), "text"),
    }
    assert list(suite.started) == list(suite.ended) == [session_id]
    assert suite.calls["EndSession"] == suite.calls["ExchangeApiKey"] == 1
    assert first.end <= late.start
    assert suite.started[session_id] <= suite.ended[session_id]
    assert (status.state, status.acknowledged, status.waiting_predictions, status.waiting_sessions) == ("idle", 5, 0, 0)


async def test_batches_are_numbered_from_one_and_stay_within_the_credit(suite: FakeSuite, spool: Path) -> None:
    suite.credit = Credit(max_batches=3, max_predictions=40)
    suite.acknowledge.clear()
    async with client(suite, spool) as edge:
        async with edge.session() as session:
            await asyncio.gather(*(session.record(vision=vision(), audio=audio()) for _ in range(100)))
        suite.acknowledge.set()
        await edge.flush(PATIENCE_SECONDS)
    batches = suite.batches[str(session.session_id)]
    assert [number for number, _ in batches] == list(range(1, len(batches) + 1))
    assert sum(len(chunks) for _, chunks in batches) == 200
    assert max(len(chunks) for _, chunks in batches) <= 32
    assert len(batches) < 100
    assert suite.most_in_flight <= 3


async def test_recording_needs_no_service(spool: Path) -> None:
    offline = FakeSuite()
    offline.address = "127.0.0.1:1"
    async with client(offline, spool) as edge:
        async with edge.session() as session:
            await session.record(vision=vision())
        await becomes_unreachable(edge)
        with pytest.raises(FlushTimeoutError, match="1 predictions of 1 sessions wait"):
            await edge.flush(0.2)
        assert edge.status().state == "unreachable"
        assert edge.status().waiting_predictions == 1
    async with running_suite() as suite:
        async with client(suite, spool) as edge:
            await edge.flush(PATIENCE_SECONDS)
        assert {UUID(session_id) for session_id in suite.ended} == {session.session_id}
        assert len(suite.stored) == 1


async def test_a_service_that_goes_and_comes_back_gets_everything_once(suite: FakeSuite, spool: Path) -> None:
    async with client(suite, spool) as edge:
        async with edge.session() as session:
            for _ in range(5):
                await session.record(vision=vision())
            await edge.flush(PATIENCE_SECONDS)
            await suite.stop()
            for _ in range(5):
                await session.record(vision=vision())
            await suite.start()
            await edge.flush(PATIENCE_SECONDS)
        await edge.flush(PATIENCE_SECONDS)
    assert len(suite.stored) == 10
    assert set(suite.stored.values()) == {1}


async def test_a_batch_keeps_its_number_and_bounds_when_sent_again(suite: FakeSuite, spool: Path) -> None:
    suite.credit = Credit(max_batches=1, max_predictions=8)
    async with client(suite, spool) as edge:
        async with edge.session() as session:
            session_id = str(session.session_id)
            suite.drain_after_batches = 2
            await asyncio.gather(*(session.record(vision=vision()) for _ in range(40)))
        await edge.flush(PATIENCE_SECONDS)
    assert suite.calls["StreamPredictions"] > 1
    assert suite.calls["ExchangeApiKey"] > 1
    bounds: dict[int, list[str]] = {}
    for number, chunks in suite.batches[session_id]:
        assert bounds.setdefault(number, chunks) == chunks
    assert set(suite.stored.values()) == {1}
    assert len(suite.stored) == 40


async def test_the_app_hears_of_refusals_and_the_rest_is_kept(suite: FakeSuite, spool: Path) -> None:
    suite.refuse = lambda one: ("audio.emotion", REFUSAL_REASON_CONFLICT) if one.HasField("audio") else None
    tell, told = next_report()
    async with client(suite, spool, on_refused=tell) as edge:
        async with edge.session() as session:
            chunk = await session.record(vision=vision(), audio=audio())
        await edge.flush(PATIENCE_SECONDS)
        refused = await asyncio.wait_for(told.get(), PATIENCE_SECONDS)
        assert (refused.chunk_id, refused.modality, refused.field, refused.reason) == (
            str(chunk.chunk_id),
            "audio",
            "audio.emotion",
            "CONFLICT",
        )
        assert refused.session_id == str(session.session_id)
        assert edge.status().refused == {"CONFLICT": 1}
        assert edge.status().acknowledged == 1


async def test_what_a_dead_app_left_is_ended_at_its_last_chunk_and_sent(suite: FakeSuite, spool: Path) -> None:
    offline = FakeSuite()
    offline.address = "127.0.0.1:1"
    async with client(offline, spool) as edge:
        abandoned = await edge.session().__aenter__()
        chunk = await abandoned.record(vision=vision())
    async with client(suite, spool) as edge:
        await edge.flush(PATIENCE_SECONDS)
    assert suite.ended == {str(abandoned.session_id): chunk.end}
    assert len(suite.stored) == 1


async def test_a_backlog_goes_in_the_order_in_which_it_was_lived(suite: FakeSuite, spool: Path) -> None:
    offline = FakeSuite()
    offline.address = "127.0.0.1:1"
    begin = datetime.now(UTC) - timedelta(days=6)
    async with client(offline, spool) as edge:
        for day in (3, 1, 5, 2, 4):
            start = begin + timedelta(days=day)
            async with edge.session(start=start) as session:
                await session.record(vision=vision(), chunk=Chunk.between(start, start + timedelta(seconds=5)))
    suite.acknowledge.clear()
    async with client(suite, spool) as edge, edge.session() as live:
        await live.record(vision=vision())
        suite.acknowledge.set()
        await edge.flush(PATIENCE_SECONDS)
    assert len(suite.ended) == 5
    starts = [suite.started[session_id] for session_id in suite.ended]
    assert starts == sorted(starts)


async def test_a_live_session_does_not_wait_for_the_backlog(suite: FakeSuite, spool: Path) -> None:
    offline = FakeSuite()
    offline.address = "127.0.0.1:1"
    async with client(offline, spool) as edge, edge.session() as old:
        await old.record(vision=vision())
    suite.fail_next("StreamPredictions", grpc.StatusCode.INTERNAL, "INTERNAL")
    tell, told = next_report()
    taken = asyncio.Event()
    suite.refuse = lambda _: taken.set()
    async with client(suite, spool, on_problem=tell) as edge:
        await asyncio.wait_for(told.get(), PATIENCE_SECONDS)
        async with edge.session() as live:
            await live.record(vision=vision())
            await asyncio.wait_for(taken.wait(), PATIENCE_SECONDS)
    assert [session_id for session_id, _, _ in suite.stored] == [str(live.session_id)]


async def test_a_spool_never_speaks_for_another_person(suite: FakeSuite, spool: Path) -> None:
    async with client(suite, spool) as edge, edge.session() as session:
        await session.record(vision=vision())
        await edge.flush(PATIENCE_SECONDS)
        suite.acknowledge.clear()
        await session.record(vision=vision())
    suite.acknowledge.set()
    suite.user_id = uuid4()
    async with client(suite, spool) as edge:
        with pytest.raises(DeliveryError, match="another person"):
            await edge.flush(PATIENCE_SECONDS)
    assert len(suite.stored) == 1


async def test_a_session_of_over_a_day_goes_on_as_its_successor(suite: FakeSuite, spool: Path) -> None:
    start = datetime.now(UTC) - timedelta(days=2)
    async with client(suite, spool) as edge:
        async with edge.session(start=start, session_id=uuid7(start)) as session:
            first_id = session.session_id
            for hours in (1, 23, 25):
                begin = start + timedelta(hours=hours)
                await session.record(vision=vision(), chunk=Chunk.between(begin, begin + timedelta(seconds=5)))
        await edge.flush(PATIENCE_SECONDS)
    second_id = str(session.session_id)
    assert set(suite.ended) == {str(first_id), second_id}
    assert suite.ended[str(first_id)] == start + timedelta(hours=23, seconds=5)
    assert suite.started[second_id] == start + timedelta(hours=25)
    assert [session_id for session_id, _, _ in suite.stored].count(second_id) == 1


async def test_bad_input_is_named_at_once(suite: FakeSuite, spool: Path) -> None:
    async with client(suite, spool) as edge, edge.session() as session:
        with pytest.raises(InvalidInputError, match=r"vision\.confidence"):
            await session.record(vision=vision(confidence=2))
        assert edge.status().waiting_predictions == 0


async def test_two_clients_do_not_share_a_spool(suite: FakeSuite, spool: Path) -> None:
    async with client(suite, spool):
        with pytest.raises(SpoolLockedError):
            await client(suite, spool).__aenter__()


def test_a_network_is_not_trusted_by_default() -> None:
    with pytest.raises(InvalidInputError, match="tls"):
        EdgeClient("ingest.example:443", identity_address="127.0.0.1:1", api_key="k", spool="unused", limits=FAST)
