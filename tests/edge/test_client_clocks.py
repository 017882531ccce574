"""Devices whose clock is wrong, or is put right."""

import asyncio
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from uuid import UUID

import grpc
import pytest

from quietus_edge import Chunk
from quietus_edge.ids import uuid7_time
from tests.edge.fake_suite import FakeSuite
from tests.edge.make import PATIENCE_SECONDS, client, next_report, vision


async def test_a_wrong_clock_gets_a_new_id_and_corrected_times(suite: FakeSuite, spool: Path) -> None:
    server_time = datetime.now(UTC) + timedelta(days=800)
    suite.fail_next(
        "StartSession",
        grpc.StatusCode.INVALID_ARGUMENT,
        "SESSION_TIME_OUT_OF_BOUNDS",
        server_time=server_time.isoformat().replace("+00:00", "Z"),
    )
    tell, told = next_report()
    async with client(suite, spool, on_problem=tell) as edge:
        async with edge.session() as session:
            chunk = await session.record(vision=vision())
        await edge.flush(PATIENCE_SECONDS)
        problem = await asyncio.wait_for(told.get(), PATIENCE_SECONDS)
    (session_id,) = suite.started
    assert problem.reason == "CLOCK_CORRECTED"
    assert problem.session_id == session_id != str(session.session_id)
    near = timedelta(minutes=1)
    assert abs(uuid7_time(UUID(session_id)) - server_time) < near
    assert abs(suite.started[session_id] - server_time) < near
    assert abs(suite.ended[session_id] - server_time) < near
    (stored,) = suite.predictions
    assert stored.chunk_id == str(chunk.chunk_id)
    assert abs(stored.capture_end_time.ToDatetime(tzinfo=UTC) - server_time) < near


async def test_a_session_older_than_what_is_kept_is_given_up_aloud(suite: FakeSuite, spool: Path) -> None:
    suite.fail_next(
        "StartSession",
        grpc.StatusCode.INVALID_ARGUMENT,
        "SESSION_TIME_OUT_OF_BOUNDS",
        server_time=datetime.now(UTC).isoformat(),
    )
    old = datetime.now(UTC) - timedelta(days=500)
    async with client(suite, spool) as edge:
        async with edge.session(start=old) as session:
            await session.record(vision=vision(), chunk=Chunk.between(old, old + timedelta(seconds=5)))
        await edge.flush(PATIENCE_SECONDS)
        assert edge.status().dropped == {"SESSION_TIME_OUT_OF_BOUNDS": 1}
    assert suite.started == {}


async def test_a_session_of_a_clock_that_was_put_right_since_ends_now(suite: FakeSuite, spool: Path) -> None:
    server_time = datetime.now(UTC)
    suite.fail_next(
        "StartSession",
        grpc.StatusCode.INVALID_ARGUMENT,
        "SESSION_TIME_OUT_OF_BOUNDS",
        server_time=server_time.isoformat(),
    )
    wrong = server_time + timedelta(days=3)
    async with client(suite, spool) as edge:
        async with edge.session(start=wrong) as session:
            for second in range(3):
                start = wrong + timedelta(seconds=second)
                await session.record(vision=vision(), chunk=Chunk.between(start, start + timedelta(seconds=1)))
        await edge.flush(PATIENCE_SECONDS)
        assert edge.status().dropped == {}
    ends = [one.capture_end_time.ToDatetime(tzinfo=UTC) for one in suite.predictions]
    assert [end - ends[0] for end in ends] == [timedelta(seconds=second) for second in range(3)]
    # the first may have met the server when the others were not yet recorded
    assert abs(ends[0] - server_time) < timedelta(minutes=1)
    (start,) = suite.started.values()
    assert abs(start - server_time) < timedelta(minutes=1)


class _Clock(datetime):
    """Only so far as a session asks for the time."""

    off = timedelta()

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
        return datetime.now(tz) + cls.off


async def test_a_clock_that_jumps_leaves_windows_that_a_service_takes(
    suite: FakeSuite, spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quietus_edge.session.datetime", _Clock)
    windows = []
    async with client(suite, spool) as edge:
        async with edge.session() as session:
            for day in (0, 1, 0, -2, -1, 0):
                monkeypatch.setattr(_Clock, "off", timedelta(days=day))
                for _ in range(3):
                    await asyncio.sleep(0.01)
                    windows.append((await session.record(vision=vision()), session.session_id))
        await edge.flush(PATIENCE_SECONDS)
    assert len(suite.predictions) == len(windows) == 18
    for chunk, session_id in windows:
        started = suite.started[str(session_id)]
        assert chunk.start >= started - timedelta(days=1)
        assert chunk.end <= started + timedelta(days=1)
    lengths = [chunk.end - chunk.start for chunk, _ in windows]
    assert sum(length == timedelta(0) for length in lengths) == 2
    assert all(timedelta(0) <= length <= timedelta(hours=1) for length in lengths)
    for session_id, end in suite.ended.items():
        assert suite.started[session_id] <= end
