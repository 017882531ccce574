"""Heartbeats, clocks, and sessions that several devices share, against a suite in memory."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import grpc
import pytest

from quietus.common.v1.types_pb2 import MODALITY_AUDIO, MODALITY_VISION
from quietus.ingest.v1.ingest_pb2 import Credit, StreamOpened, StreamPredictionsRequest, StreamPredictionsResponse
from quietus.ingest.v1.sessions_pb2 import (
    MODALITY_STATE_FAILED,
    MODALITY_STATE_RUNNING,
    ClockEstimate,
    Heartbeat,
)
from quietus_edge.connection import Metadata
from quietus_edge.errors import InvalidInputError
from quietus_edge.ids import uuid7
from quietus_edge.stream import PredictionStream
from quietus_edge.vitals import Vitals
from tests.edge.fake_suite import FakeSuite
from tests.edge.make import FAST, PATIENCE_SECONDS, client, vision

BEATING = replace(FAST, heartbeat_seconds=0.02, stream_idle_seconds=0.05)


async def next_heartbeat(suite: FakeSuite) -> tuple[str, Heartbeat]:
    return await asyncio.wait_for(suite.heartbeats.get(), PATIENCE_SECONDS)


async def test_registered_modalities_are_told_while_the_session_lives(suite: FakeSuite, spool: Path) -> None:
    async with client(suite, spool, limits=BEATING) as edge:
        async with edge.session(modalities=("vision", "audio")) as session:
            session_id, first = await next_heartbeat(suite)
            assert session_id == str(session.session_id)
            assert {(one.modality, one.state) for one in first.modalities} == {
                (MODALITY_VISION, MODALITY_STATE_RUNNING),
                (MODALITY_AUDIO, MODALITY_STATE_RUNNING),
            }
            assert not first.HasField("round_trip_seconds")
            chunk = await session.record(vision=vision())
            session.set_modality("vision", "failed")
            while True:
                _, beat = await next_heartbeat(suite)
                by_modality = {one.modality: one for one in beat.modalities}
                if by_modality[MODALITY_VISION].state == MODALITY_STATE_FAILED:
                    break
            captured = by_modality[MODALITY_VISION].last_capture_time.ToDatetime(tzinfo=UTC)
            assert captured == chunk.end
            assert not by_modality[MODALITY_AUDIO].HasField("last_capture_time")
            assert 0 <= beat.round_trip_seconds < 10
        await edge.flush(PATIENCE_SECONDS)
    assert str(session.session_id) in suite.ended


async def test_a_session_without_modalities_sends_no_heartbeats(suite: FakeSuite, spool: Path) -> None:
    async with client(suite, spool, limits=BEATING) as edge:
        async with edge.session() as session:
            await session.record(vision=vision())
        await edge.flush(PATIENCE_SECONDS)
    assert suite.heartbeats.empty()
    assert len(suite.stored) == 1


async def test_heartbeats_go_on_after_the_service_was_away(suite: FakeSuite, spool: Path) -> None:
    async with client(suite, spool, limits=BEATING) as edge, edge.session(modalities=("vision",)):
        await next_heartbeat(suite)
        await suite.stop()
        while not suite.heartbeats.empty():
            suite.heartbeats.get_nowait()
        await suite.start()
        await next_heartbeat(suite)


async def test_heartbeats_stay_within_the_credit(suite: FakeSuite, spool: Path) -> None:
    suite.credit = Credit(max_batches=2, max_predictions=64)
    suite.acknowledge.clear()
    async with client(suite, spool, limits=BEATING) as edge:
        async with edge.session(modalities=("vision",)) as session:
            await session.record(vision=vision())
            await asyncio.sleep(20 * BEATING.heartbeat_seconds)  # long enough for a pulse that doesn't count itself
            suite.acknowledge.set()
        await edge.flush(PATIENCE_SECONDS)
    assert suite.most_in_flight <= 2
    assert len(suite.stored) == 1


async def test_the_skew_of_the_clock_shows_in_the_status(suite: FakeSuite, spool: Path) -> None:
    suite.clock = ClockEstimate(skew_seconds=-3600.5, uncertainty_seconds=0.25, samples=3)
    async with client(suite, spool, limits=BEATING) as edge:
        assert edge.status().clock_skew_seconds is None
        async with edge.session(modalities=("vision",)):
            await next_heartbeat(suite)
        await edge.flush(PATIENCE_SECONDS)
        assert (edge.status().clock_skew_seconds, edge.status().clock_uncertainty_seconds) == (-3600.5, 0.25)


@pytest.mark.parametrize("name", ["face", "Vision", ""])
async def test_unknown_modalities_and_states_are_named(suite: FakeSuite, spool: Path, name: str) -> None:
    async with client(suite, spool) as edge:
        with pytest.raises(InvalidInputError):
            edge.session(modalities=(name,))
        async with edge.session() as session:
            with pytest.raises(InvalidInputError):
                session.set_modality("vision", name)


@pytest.mark.parametrize("end", [True, False])
async def test_another_device_continues_a_session(suite: FakeSuite, tmp_path: Path, end: bool) -> None:
    async with client(suite, tmp_path / "phone") as phone, client(suite, tmp_path / "tablet") as tablet:
        async with phone.session() as started:
            await started.record(vision=vision())
            await phone.flush(PATIENCE_SECONDS)
            start = suite.started[str(started.session_id)]
            async with tablet.continue_session(started.session_id, start=start, end=end) as continued:
                chunk = await continued.record(vision=vision())
                assert chunk.end - chunk.start < timedelta(minutes=1)
            await tablet.flush(PATIENCE_SECONDS)
            assert bool(suite.ended) is end
            assert tablet.status().waiting_sessions == 0
        await phone.flush(PATIENCE_SECONDS)
    assert {UUID(session_id) for session_id, _, _ in suite.stored} == {started.session_id}
    assert len(suite.stored) == 2
    assert suite.calls["StartSession"] == 1
    assert suite.calls["EndSession"] == (2 if end else 1)
    assert len(set(suite.senders)) == 2


async def test_a_continued_session_waits_until_the_first_device_was_heard(suite: FakeSuite, spool: Path) -> None:
    for _ in range(3):
        suite.fail_next("StreamPredictions", grpc.StatusCode.NOT_FOUND, "SESSION_NOT_FOUND")
    async with client(suite, spool) as edge:
        async with edge.continue_session(uuid7(), start=datetime.now(UTC)) as session:
            await session.record(vision=vision())
        await edge.flush(PATIENCE_SECONDS)
    assert len(suite.stored) == 1
    assert suite.calls["StartSession"] == 0


async def test_a_spool_counts_under_one_name_for_as_long_as_it_lasts(suite: FakeSuite, spool: Path) -> None:
    for _ in range(2):
        async with client(suite, spool) as edge:
            async with edge.session() as session:
                await session.record(vision=vision())
            await edge.flush(PATIENCE_SECONDS)
    assert len(suite.senders) == 2
    assert len(set(suite.senders)) == 1
    assert UUID(suite.senders[0])


class SlowCall:
    """Takes a heartbeat only when it is told to. As in grpc.aio, a write that is cancelled ends the call."""

    def __init__(self) -> None:
        self.beating, self.takes, self.closed = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.is_cut = False

    async def write(self, request: StreamPredictionsRequest) -> None:
        if request.HasField("heartbeat"):
            self.beating.set()
            try:
                await self.takes.wait()
            except asyncio.CancelledError:
                self.is_cut = True
                raise

    async def done_writing(self) -> None:
        self.closed.set()

    def cancel(self) -> None:
        self.takes.set()

    async def __aiter__(self) -> AsyncIterator[StreamPredictionsResponse]:
        credit = Credit(max_batches=10, max_predictions=10)
        yield StreamPredictionsResponse(opened=StreamOpened(credit=credit))
        await self.closed.wait()


async def test_the_end_of_a_stream_waits_for_the_heartbeat_that_is_being_written() -> None:
    call, vitals = SlowCall(), Vitals()
    vitals.set_state(1, "vision", "running")

    async def metadata() -> Metadata:
        return ()

    async def answer(step: object) -> object:
        """No fixed batch, no new one, and the session is gone."""
        found = next(answers)
        if found is None:
            await call.beating.wait()
            asyncio.get_running_loop().call_later(0.01, call.takes.set)
        return found

    answers = iter(([], None, None))
    ingest = SimpleNamespace(StreamPredictions=lambda metadata: call)
    connection: Any = SimpleNamespace(ingest=ingest, metadata=metadata, sender_id="")
    session: Any = SimpleNamespace(key=1, session_id=uuid7())
    spool: Any = SimpleNamespace(run=answer)
    reports: Any = None
    await PredictionStream(session, spool, reports, BEATING, asyncio.Event(), lambda: None, vitals).run(connection)
    assert call.closed.is_set()
    assert not call.is_cut
