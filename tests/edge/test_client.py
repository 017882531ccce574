import asyncio
import sqlite3
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from uuid import UUID, uuid4

import grpc
import pytest

from quietus.ingest.v1 import predictions_pb2 as contract
from quietus.ingest.v1.ingest_pb2 import REFUSAL_REASON_CONFLICT, Credit
from quietus_edge import Chunk, EdgeClient, TextCues, messages
from quietus_edge.cues import lexicon
from quietus_edge.errors import (
    DeliveryError,
    FlushTimeoutError,
    InvalidInputError,
    SpoolLockedError,
)
from quietus_edge.ids import uuid7, uuid7_time
from quietus_edge.sealing import TEXT_PREDICTIONS, make_key_pair, unseal, unwrap
from tests.edge.fake_suite import FakeSuite, running_suite, session_ids
from tests.edge.make import FAST, audio, client, next_report, text, vision


@pytest.fixture
async def suite() -> AsyncIterator[FakeSuite]:
    async with running_suite() as started:
        yield started


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    return tmp_path / "spool"


async def test_a_session_is_started_streamed_and_ended_once(suite: FakeSuite, spool: Path) -> None:
    async with client(suite, spool) as edge:
        async with edge.session() as session:
            first = await session.record(vision=vision(), audio=audio(), text=text())
            late = await session.record(vision=vision())
            await session.record(text=text(), chunk=late)
        await edge.flush(10)
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
        await edge.flush(20)
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
        with pytest.raises(FlushTimeoutError, match="1 predictions of 1 sessions wait"):
            await edge.flush(0.2)
        assert edge.status().state == "unreachable"
        assert edge.status().waiting_predictions == 1
    async with running_suite() as suite:
        async with client(suite, spool) as edge:
            await edge.flush(10)
        assert {UUID(session_id) for session_id in suite.ended} == {session.session_id}
        assert len(suite.stored) == 1


async def test_a_service_that_goes_and_comes_back_gets_everything_once(suite: FakeSuite, spool: Path) -> None:
    async with client(suite, spool) as edge:
        async with edge.session() as session:
            for _ in range(5):
                await session.record(vision=vision())
            await edge.flush(10)
            await suite.stop()
            for _ in range(5):
                await session.record(vision=vision())
            await suite.start()
            await edge.flush(10)
        await edge.flush(10)
    assert len(suite.stored) == 10
    assert set(suite.stored.values()) == {1}


async def test_a_batch_keeps_its_number_and_bounds_when_sent_again(suite: FakeSuite, spool: Path) -> None:
    suite.credit = Credit(max_batches=1, max_predictions=8)
    async with client(suite, spool) as edge:
        async with edge.session() as session:
            session_id = str(session.session_id)
            suite.drain_after_batches = 2
            await asyncio.gather(*(session.record(vision=vision()) for _ in range(40)))
        await edge.flush(20)
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
        await edge.flush(10)
        refused = await asyncio.wait_for(told.get(), 10)
        assert (refused.chunk_id, refused.modality, refused.field, refused.reason) == (
            str(chunk.chunk_id),
            "audio",
            "audio.emotion",
            "CONFLICT",
        )
        assert refused.session_id == str(session.session_id)
        assert edge.status().refused == {"CONFLICT": 1}
        assert edge.status().acknowledged == 1


@pytest.mark.parametrize("method", ["StartSession", "EndSession", "StreamPredictions"])
@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (grpc.StatusCode.UNAVAILABLE, "DATABASE_UNAVAILABLE"),
        # With the time when to come back, as services send it.
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED"),
    ],
)
async def test_what_passes_is_retried_wherever_it_comes(
    suite: FakeSuite, spool: Path, method: str, code: grpc.StatusCode, reason: str
) -> None:
    for _ in range(3):
        suite.fail_next(method, code, reason)
    async with client(suite, spool) as edge:
        async with edge.session() as session:
            await session.record(vision=vision())
        await edge.flush(10)
    assert suite.calls[method] == 4
    assert len(suite.stored) == 1


async def test_other_errors_are_told_and_not_hammered(suite: FakeSuite, spool: Path) -> None:
    for _ in range(100):
        suite.fail_next("StreamPredictions", grpc.StatusCode.INTERNAL, "INTERNAL")
    tell, told = next_report()
    async with client(suite, spool, on_problem=tell) as edge:
        async with edge.session() as session:
            await session.record(vision=vision())
            problem = await asyncio.wait_for(told.get(), 10)
            assert (problem.reason, problem.session_id) == ("INTERNAL", str(session.session_id))
            for _ in range(10):
                await session.record(vision=vision())
        with pytest.raises(DeliveryError, match="INTERNAL"):
            await edge.flush(10)
        assert suite.calls["StreamPredictions"] == 1
        assert (edge.status().state, edge.status().reason) == ("blocked", "INTERNAL")
        assert edge.status().waiting_predictions == 11


async def test_a_refused_token_is_renewed_once(suite: FakeSuite, spool: Path) -> None:
    suite.fail_next("StartSession", grpc.StatusCode.UNAUTHENTICATED, "TOKEN_EXPIRED")
    async with client(suite, spool) as edge:
        async with edge.session() as session:
            await session.record(vision=vision())
        await edge.flush(10)
    assert suite.calls["ExchangeApiKey"] == 2


async def test_a_wrong_key_blocks_and_loses_nothing(suite: FakeSuite, spool: Path) -> None:
    async with client(suite, spool, api_key="revoked") as edge:
        async with edge.session() as session:
            await session.record(vision=vision(), text=text(transcript="words"))
        with pytest.raises(DeliveryError) as failure:
            await edge.flush(10)
        assert failure.value.reason == "BAD_CREDENTIALS"
        assert edge.status().waiting_predictions == 2
        assert "words" not in str(failure.value)
    async with client(suite, spool) as edge:
        await edge.flush(10)
    assert len(suite.stored) == 2


async def test_what_a_session_lacks_that_takes_nothing_more_goes_on_under_a_new_id(
    suite: FakeSuite, spool: Path
) -> None:
    suite.fail_next("StreamPredictions", grpc.StatusCode.FAILED_PRECONDITION, "SESSION_ENDED")
    tell, told = next_report()
    async with client(suite, spool, on_problem=tell) as edge:
        async with edge.session() as session:
            await session.record(vision=vision(), audio=audio())
            problem = await asyncio.wait_for(told.get(), 10)
            assert problem.reason == "SESSION_ENDED"
            await session.record(vision=vision())
        await edge.flush(10)
        assert edge.status().dropped == {}
    assert len(suite.stored) == 3
    assert session_ids(suite) == {UUID(problem.session_id)} == {UUID(one) for one in suite.ended}
    assert problem.session_id != str(session.session_id)


@pytest.mark.parametrize("more", [False, True])
async def test_what_an_ended_session_has_already_goes_to_no_other(suite: FakeSuite, spool: Path, more: bool) -> None:
    suite.ends_unacknowledged = True
    tell, told = next_report()
    async with client(suite, spool, on_problem=tell) as edge:
        async with edge.session() as session:
            await session.record(vision=vision(), audio=audio())
            if more:
                assert (await asyncio.wait_for(told.get(), 10)).reason == "SESSION_ENDED"
                await session.record(vision=vision())
        await edge.flush(10)
        assert (edge.status().acknowledged, edge.status().dropped) == (3 if more else 2, {})
    chunks = {(chunk, modality) for _, chunk, modality in suite.stored}
    assert len(chunks) == len(suite.stored) == edge.status().acknowledged
    if more:
        assert len(session_ids(suite)) == 2


async def test_a_session_that_the_server_lost_is_started_again(suite: FakeSuite, spool: Path) -> None:
    suite.fail_next("StreamPredictions", grpc.StatusCode.NOT_FOUND, "SESSION_NOT_FOUND")
    async with client(suite, spool) as edge:
        async with edge.session() as session:
            await session.record(vision=vision())
        await edge.flush(10)
    assert suite.calls["StartSession"] == 2
    assert len(suite.stored) == 1


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
        await edge.flush(10)
        problem = await asyncio.wait_for(told.get(), 10)
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
        await edge.flush(10)
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
        await edge.flush(10)
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
        await edge.flush(10)
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


async def test_what_a_dead_app_left_is_ended_at_its_last_chunk_and_sent(suite: FakeSuite, spool: Path) -> None:
    offline = FakeSuite()
    offline.address = "127.0.0.1:1"
    async with client(offline, spool) as edge:
        abandoned = await edge.session().__aenter__()
        chunk = await abandoned.record(vision=vision())
    async with client(suite, spool) as edge:
        await edge.flush(10)
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
        await edge.flush(10)
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
        await asyncio.wait_for(told.get(), 10)
        async with edge.session() as live:
            await live.record(vision=vision())
            await asyncio.wait_for(taken.wait(), 10)
    assert [session_id for session_id, _, _ in suite.stored] == [str(live.session_id)]


async def test_cues_and_valence_come_from_the_transcript_unless_the_app_gives_its_own(
    suite: FakeSuite, spool: Path
) -> None:
    async with client(suite, spool) as edge:
        async with edge.session() as session:
            await session.record(text=text(transcript="Niko sawa, but I am sad about my family"))
            own = TextCues(extractor_version="app-7", language="sw", topics=("work",))
            await session.record(text=text(transcript="I want to die", cues=own, valence=0.25))
            await session.record(text=text(transcript="I want to die", cues=TextCues()))
            await session.record(text=text())
        await edge.flush(10)
    found, given, silenced, wordless = (one.text for one in suite.predictions)
    assert (found.cues.extractor_version, found.cues.code_switching) == (lexicon().version, True)
    assert (list(found.cues.deflections), list(found.cues.topics)) == (["niko_sawa"], ["family"])
    assert found.valence < 0
    assert (given.cues, given.valence) == (messages.cues(own), 0.25)
    assert silenced.cues == contract.TextCues()
    assert silenced.valence <= -0.5
    assert not wordless.HasField("cues")
    assert not wordless.HasField("valence")


async def test_a_signal_that_only_the_transcript_tells_is_danger_to_the_spool(spool: Path) -> None:
    offline = FakeSuite()
    offline.address = "127.0.0.1:1"
    async with client(offline, spool) as edge, edge.session() as session:
        await session.record(text=text(transcript="I am going to end it tonight"))
        await session.record(text=text(transcript="We went for a walk"))
    with sqlite3.connect(f"file:{spool}?mode=ro", uri=True) as file:
        assert file.execute("SELECT danger FROM records ORDER BY rowid").fetchall() == [(1,), (0,)]


@pytest.mark.parametrize("has_key", [False, True])
async def test_what_was_said_stands_nowhere_in_the_spool(suite: FakeSuite, spool: Path, has_key: bool) -> None:
    marker = "purple walruses recite my sorrow"
    suite.key_pair = make_key_pair("a passphrase") if has_key else None
    suite.acknowledge.clear()
    async with client(suite, spool) as edge, edge.session() as session:
        await session.record(text=text(transcript=marker))
        with pytest.raises(InvalidInputError) as refused:
            await session.record(text=text(transcript=marker, distress_probability=2.0))
        written = b"".join(path.read_bytes() for path in spool.parent.iterdir())
        suite.acknowledge.set()
    assert b"text-1" in written
    assert b"walruses" not in written
    assert "walruses" not in str(refused.value)


async def test_a_transcript_is_sealed_for_the_person_and_their_chunk(suite: FakeSuite, spool: Path) -> None:
    suite.key_pair = make_key_pair("a long passphrase")
    async with client(suite, spool) as edge:
        async with edge.session() as session:
            chunk = await session.record(text=text(transcript="a marker sentence"))
        await edge.flush(10)
        assert edge.status().can_seal
    (stored,) = suite.predictions
    private_key = unwrap(suite.key_pair.wrapped_private_key, suite.key_pair.salt, "a long passphrase")
    opened = unseal(
        stored.text.sealed_transcript,
        private_key,
        table=TEXT_PREDICTIONS,
        user_id=suite.user_id,
        row_id=chunk.chunk_id,
    )
    assert opened == "a marker sentence"
    assert all(b"marker" not in one.read_bytes() for one in spool.parent.iterdir())


async def test_the_key_is_kept_for_the_time_offline(suite: FakeSuite, spool: Path) -> None:
    suite.key_pair = make_key_pair("a long passphrase")
    async with client(suite, spool) as edge, edge.session() as session:
        await session.record(text=text(transcript="online"))
        await edge.flush(10)
    await suite.stop()
    async with client(suite, spool) as edge, edge.session() as session:
        await session.record(text=text(transcript="offline"))
        assert edge.status().can_seal
    await suite.start()
    async with client(suite, spool) as edge:
        await edge.flush(10)
    assert [one.text.transcript_state for one in suite.predictions] == [contract.TRANSCRIPT_STATE_SEALED] * 2


async def test_without_a_key_cues_go_and_words_are_discarded(suite: FakeSuite, spool: Path) -> None:
    async with client(suite, spool) as edge:
        async with edge.session() as session:
            await session.record(text=text(transcript="a marker sentence", valence=-0.5))
        await edge.flush(10)
        assert not edge.status().can_seal
        assert edge.status().transcripts_discarded == 1
    (stored,) = suite.predictions
    assert (stored.text.transcript_state, stored.text.valence) == (contract.TRANSCRIPT_STATE_NO_KEY, -0.5)
    assert all(b"marker" not in one.read_bytes() for one in spool.parent.iterdir())


async def test_a_spool_never_speaks_for_another_person(suite: FakeSuite, spool: Path) -> None:
    async with client(suite, spool) as edge, edge.session() as session:
        await session.record(vision=vision())
        await edge.flush(10)
        suite.acknowledge.clear()
        await session.record(vision=vision())
    suite.acknowledge.set()
    suite.user_id = uuid4()
    async with client(suite, spool) as edge:
        with pytest.raises(DeliveryError, match="another person"):
            await edge.flush(10)
    assert len(suite.stored) == 1


async def test_a_session_of_over_a_day_goes_on_as_its_successor(suite: FakeSuite, spool: Path) -> None:
    start = datetime.now(UTC) - timedelta(days=2)
    async with client(suite, spool) as edge:
        async with edge.session(start=start, session_id=uuid7(start)) as session:
            first_id = session.session_id
            for hours in (1, 23, 25):
                begin = start + timedelta(hours=hours)
                await session.record(vision=vision(), chunk=Chunk.between(begin, begin + timedelta(seconds=5)))
        await edge.flush(10)
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
