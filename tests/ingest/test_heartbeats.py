"""Heartbeats on a stream, and what the feed tells of modalities that fall silent; over a real channel."""

from datetime import datetime, timedelta
from uuid import UUID, uuid4

import grpc
import pytest

from libs.common.observability.metrics import Metrics
from libs.common.rpc.errors import reason_of
from libs.common.timestamps import to_datetime, to_timestamp
from quietus.common.v1.types_pb2 import MODALITY_TEXT, MODALITY_VISION, Modality
from quietus.ingest.v1 import events_pb2, ingest_pb2, sessions_pb2
from quietus.ingest.v1.sessions_pb2 import (
    MODALITY_STATE_FAILED,
    MODALITY_STATE_OFF,
    MODALITY_STATE_RUNNING,
    Heartbeat,
    ModalityHeartbeat,
    ModalityState,
)
from quietus_edge.ids import uuid7
from services.ingest.service.ending import SessionEnds
from services.ingest.service.watching import ModalityWatch
from services.ingest.store.silences import NEWEST
from tests.conftest import MakeDatabase
from tests.ingest import make
from tests.ingest.suite import Person, Stream, Suite, running
from tests.ingest.test_session_life import details, on_device
from tests.ingest.test_store import backfilled, told

PATIENCE = timedelta(seconds=30)


def heartbeat(**states: "ModalityState.ValueType") -> Heartbeat:
    return Heartbeat(
        modalities=[
            ModalityHeartbeat(modality=Modality.Value(f"MODALITY_{n.upper()}"), state=s) for n, s in states.items()
        ],
        client_time=to_timestamp(make.now()),
    )


class Watch:
    """The job that watches modalities, by a clock of its own."""

    def __init__(self, suite: Suite) -> None:
        self.now = make.now()
        self._suite = suite
        self.metrics = Metrics("ingest")
        # How much of `now` is the clock's alone.
        self._set_ahead = timedelta(0)
        self._watch = ModalityWatch(
            suite.database,
            suite.activity,
            self.metrics,
            PATIENCE,
            lambda: self.now,
            self._running_seconds,
        )

    def _running_seconds(self) -> float:
        return (self.now - self._set_ahead).timestamp()

    def set_clock(self, ahead: timedelta) -> None:
        self.now += ahead
        self._set_ahead += ahead

    async def after(self, seconds: float) -> list[events_pb2.Event]:
        """What was told of modalities so far."""
        self.now += timedelta(seconds=seconds)
        await self._watch.look()
        kinds = ("modality_silent", "modality_resumed")
        return [event for event in await told(self._suite) if event.WhichOneof("event") in kinds]


@pytest.fixture
async def watch(suite: Suite) -> Watch:
    return Watch(suite)


@pytest.fixture
def person(suite: Suite) -> Person:
    return suite.person()


@pytest.fixture
async def session_id(person: Person) -> UUID:
    return await person.start_session()


@pytest.fixture
async def stream(person: Person, session_id: UUID) -> Stream:
    return await person.stream(session_id)


class Camera:
    """Sends batches of a stream, received when the watch's clock says so."""

    def __init__(self, suite: Suite, watch: Watch, stream: Stream) -> None:
        self._suite, self._watch, self._stream = suite, watch, stream
        self._number = 0

    async def send(self, *tables: str, captured: datetime | None = None) -> None:
        self._number += 1
        makers = {"vision": make.vision, "audio": make.audio, "text": make.text}
        start = captured or self._watch.now
        await self._stream.send(self._number, [makers[table](uuid7(start), start) for table in tables])
        await self._stream.acknowledged(self._number)
        for table in tables:
            await self._suite.execute(
                f"UPDATE {table}_predictions SET receive_time = :now WHERE batch_number = :number",  # noqa: S608
                {"now": self._watch.now, "number": self._number},
            )


@pytest.fixture
def camera(suite: Suite, watch: Watch, stream: Stream) -> Camera:
    return Camera(suite, watch, stream)


async def test_a_heartbeat_is_answered_with_the_clocks(stream: Stream) -> None:
    sent = heartbeat(vision=MODALITY_STATE_RUNNING)
    sent.client_time.CopyFrom(to_timestamp(make.now() - timedelta(hours=2)))
    sent.round_trip_seconds = 0.5
    answer = await stream.beat(sent)
    assert answer.client_time == sent.client_time
    assert abs(to_datetime(answer.server_time) - make.now()) < timedelta(minutes=1)
    assert answer.clock.skew_seconds == pytest.approx(7200, abs=60)
    assert answer.clock.uncertainty_seconds == 0.25
    assert answer.clock.samples == 1


async def test_opening_tells_what_it_learns_of_the_clock(person: Person, session_id: UUID) -> None:
    ahead = to_timestamp(make.now() + timedelta(days=1))
    opening = ingest_pb2.OpenStream(session_id=str(session_id), client_time=ahead)
    requests = iter([ingest_pb2.StreamPredictionsRequest(open=opening)])
    opened = (await Stream(person.stub.StreamPredictions(requests, metadata=person.metadata)).read()).opened
    assert opened.clock.skew_seconds == pytest.approx(-86_400, abs=60)
    assert not opened.clock.HasField("uncertainty_seconds")


@pytest.mark.parametrize("seconds", [-62_135_596_800, 253_402_300_799])
async def test_clocks_at_the_ends_of_time_stop_nobody(
    suite: Suite, watch: Watch, person: Person, session_id: UUID, stream: Stream, seconds: int
) -> None:
    beats = [MODALITY_STATE_OFF, MODALITY_STATE_RUNNING, MODALITY_STATE_OFF, MODALITY_STATE_RUNNING]
    events = []
    for state in beats:
        sent = heartbeat(vision=state)
        for time in (sent.client_time, sent.modalities[0].last_capture_time):
            time.seconds, time.nanos = seconds, 999_999_999
        await stream.beat(sent)
        watch.now = make.now()
        events = await watch.after(0)
    assert [event.WhichOneof("event") for event in events] == ["modality_silent", "modality_resumed"] * 2
    silences = [event.modality_silent.since_time for event in events if event.HasField("modality_silent")]
    assert max(map(to_datetime, silences)) < make.now() + timedelta(days=2)
    await SessionEnds(suite.database, suite.activity, Metrics("ingest"), timedelta(minutes=30), make.now).look()
    (sender,) = (await details(person, session_id)).senders
    assert sender.clock.samples == len(beats)


async def test_a_heartbeat_needs_no_credit(make_database: MakeDatabase) -> None:
    database, other = make_database("ingest"), make_database("ingest")
    async with running(database, credit_max_batches=3) as suite:
        person = suite.person()
        session_id = await person.start_session()
        stream = await person.stream(session_id)
        async with other.transaction() as tx:  # nothing can be stored meanwhile
            await tx.execute("SELECT FROM sessions WHERE id = :id FOR UPDATE", {"id": session_id})
            for number in (1, 2, 3):
                await stream.send(number, [make.vision()])
            await stream.call.write(ingest_pb2.StreamPredictionsRequest(heartbeat=heartbeat()))
            await details(person, session_id)  # the server has read on by then
        assert await stream.acknowledged(3) == []
        await stream.call.done_writing()
        assert await stream.call.code() is grpc.StatusCode.OK


async def test_clocks_are_kept_for_each_sender(suite: Suite, person: Person, session_id: UUID) -> None:
    phone, tablet = on_device(person, uuid4()), on_device(person, uuid4())
    streams = [await phone.stream(session_id), await tablet.stream(session_id)]
    await streams[1].beat(heartbeat())
    late = heartbeat()
    late.client_time.CopyFrom(to_timestamp(make.now() - timedelta(minutes=10)))
    await streams[1].beat(late)
    await SessionEnds(suite.database, suite.activity, Metrics("ingest"), timedelta(minutes=30), make.now).look()
    first, second = (await details(person, session_id)).senders
    assert not first.HasField("clock")
    assert second.clock.samples == 2
    assert second.clock.skew_seconds == pytest.approx(0, abs=60)


@pytest.mark.parametrize(
    "bad",
    [
        Heartbeat(modalities=[ModalityHeartbeat(modality=MODALITY_VISION)]),
        Heartbeat(modalities=[ModalityHeartbeat(state=MODALITY_STATE_OFF)]),
        Heartbeat(modalities=[ModalityHeartbeat(modality=MODALITY_VISION, state=MODALITY_STATE_OFF)] * 2),
        Heartbeat(modalities=[ModalityHeartbeat(modality=MODALITY_VISION, state=MODALITY_STATE_OFF)] * 4),
        Heartbeat(modalities=[ModalityHeartbeat(modality=7, state=9)]),  # type: ignore[arg-type]
        Heartbeat(round_trip_seconds=float("nan")),
        Heartbeat(round_trip_seconds=61),
    ],
)
async def test_malformed_heartbeats_end_the_stream(stream: Stream, bad: Heartbeat) -> None:
    await stream.send(1, make.chunk())
    await stream.call.write(ingest_pb2.StreamPredictionsRequest(heartbeat=bad))
    error = await stream.error()
    assert (error.code(), reason_of(error)) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")


async def test_a_heartbeat_may_be_the_last_word(stream: Stream) -> None:
    await stream.send(1, make.chunk())
    await stream.call.write(ingest_pb2.StreamPredictionsRequest(heartbeat=heartbeat()))
    await stream.call.done_writing()
    answers = [(await stream.read()).WhichOneof("message") for _ in range(2)]
    assert sorted(map(str, answers)) == ["acknowledgement", "heartbeat"]
    assert await stream.call.code() == grpc.StatusCode.OK


async def test_a_camera_that_goes_silent_is_told_once_and_so_is_its_return(
    suite: Suite, person: Person, session_id: UUID, watch: Watch, camera: Camera
) -> None:
    await camera.send("vision", "audio", captured=(captured := make.now()))
    assert await watch.after(0) == []
    for _ in range(3):
        watch.now += timedelta(seconds=10)
        await camera.send("audio")
        assert await watch.after(0) == []
    watch.now += timedelta(seconds=1)
    await camera.send("audio")
    [fell] = await watch.after(0)
    silent = fell.modality_silent
    assert (silent.modality, silent.cause) == (MODALITY_VISION, sessions_pb2.SILENCE_CAUSE_NO_SIGN)
    assert (silent.user_id, silent.session_id) == (str(person.user_id), str(session_id))
    assert to_datetime(silent.since_time) == captured + make.CHUNK
    await camera.send("audio")
    assert len(await watch.after(60)) == 1
    assert len(await Watch(suite).after(60)) == 1  # another process, or this one started anew

    back = watch.now
    await camera.send("vision", "audio")
    [_, came] = await watch.after(0)
    assert came.modality_resumed.since_time == silent.since_time
    assert to_datetime(came.modality_resumed.resume_time) == back
    shown = (await details(person, session_id)).silences
    assert [(one.modality, one.since_time, one.resume_time) for one in shown] == [
        (MODALITY_VISION, silent.since_time, came.modality_resumed.resume_time)
    ]
    assert [event for event in await backfilled(suite) if "modality" in str(event.WhichOneof("event"))] == [fell, came]


async def test_a_clock_that_is_set_silences_nobody(watch: Watch, camera: Camera) -> None:
    await camera.send("vision", "audio")
    await watch.after(0)
    watch.set_clock(timedelta(minutes=10))
    await camera.send("audio")
    assert await watch.after(0) == []
    watch.now += timedelta(seconds=31)
    await camera.send("audio")
    [fell] = await watch.after(0)
    assert fell.modality_silent.modality == MODALITY_VISION


async def test_a_session_that_cant_be_watched_holds_up_no_other(suite: Suite, watch: Watch, camera: Camera) -> None:
    other = suite.person()
    unreadable = await other.start_session()
    await camera.send("vision", "audio")
    await other.stream(unreadable)
    await suite.execute(
        "INSERT INTO modality_heartbeats (session_id, modality, user_id, running_time) VALUES (:id, 9, :user, now())",
        {"id": unreadable, "user": other.user_id},
    )
    await watch.after(0)
    watch.now += timedelta(seconds=31)
    await camera.send("audio")
    [fell] = await watch.after(0)
    assert fell.modality_silent.modality == MODALITY_VISION
    assert watch.metrics.registry.get_sample_value("quietus_sessions_passed_over_total") == 1


async def test_a_session_that_is_quiet_altogether_lacks_nothing(watch: Watch, camera: Camera, stream: Stream) -> None:
    await camera.send("vision", "audio")
    await watch.after(0)
    await stream.beat(heartbeat())
    assert await watch.after(300) == []


async def test_what_waited_on_the_device_shows_that_nothing_was_silent(watch: Watch, camera: Camera) -> None:
    start = watch.now
    await camera.send("vision", "audio")
    await watch.after(0)
    watch.now += timedelta(seconds=60)
    await camera.send("audio")
    [fell] = await watch.after(0)
    # First what lies before the silence, then what was captured in it.
    await camera.send("vision", captured=start - timedelta(minutes=1))
    assert len(await watch.after(1)) == 1
    await camera.send("vision", captured=start + make.CHUNK)
    [_, came] = await watch.after(1)
    assert came.modality_resumed.resume_time == came.modality_resumed.since_time == fell.modality_silent.since_time
    watch.now += timedelta(seconds=60)
    await camera.send("audio")
    again = (await watch.after(0))[-1].modality_silent
    assert to_datetime(again.since_time) == start + 2 * make.CHUNK


@pytest.mark.parametrize(
    ("state", "cause"),
    [
        (MODALITY_STATE_OFF, sessions_pb2.SILENCE_CAUSE_OFF),
        (MODALITY_STATE_FAILED, sessions_pb2.SILENCE_CAUSE_FAILED),
    ],
)
async def test_a_device_that_says_so_is_believed_at_once(
    watch: Watch, camera: Camera, stream: Stream, state: "ModalityState.ValueType", cause: int
) -> None:
    await camera.send("vision")
    told_by_state = []
    for said in (MODALITY_STATE_RUNNING, state, state, MODALITY_STATE_RUNNING):
        await stream.beat(heartbeat(vision=said))
        watch.now = make.now()
        told_by_state.append(await watch.after(0))
    assert [len(events) for events in told_by_state] == [0, 1, 1, 2]
    fell, came = told_by_state[-1]
    assert fell.modality_silent.cause == cause
    assert came.modality_resumed.since_time == fell.modality_silent.since_time


async def test_running_heartbeats_keep_words_from_being_missed(
    suite: Suite, person: Person, session_id: UUID, watch: Watch, camera: Camera, stream: Stream
) -> None:
    await camera.send("text", "audio")
    await stream.beat(heartbeat(text=MODALITY_STATE_RUNNING))
    await watch.after(0)
    watch.now += timedelta(seconds=20)
    await camera.send("audio")
    assert await watch.after(0) == []
    assert await suite.count("modality_heartbeats") == 1
    watch.now += timedelta(seconds=20)
    await camera.send("audio")
    [fell] = await watch.after(0)  # the heartbeat is 40 seconds old
    assert fell.modality_silent.modality == MODALITY_TEXT


async def test_a_modality_of_two_devices_with_different_clocks_is_not_missed(
    suite: Suite, person: Person, session_id: UUID, watch: Watch, camera: Camera
) -> None:
    await camera.send("vision", "audio", captured=watch.now + timedelta(hours=1))
    await watch.after(0)
    watch.now += timedelta(seconds=60)
    await camera.send("audio", captured=watch.now + timedelta(hours=1))
    other = await on_device(person, uuid4()).stream(session_id)
    await other.send(1, [make.vision(uuid7(watch.now), watch.now)])
    await other.acknowledged(1)
    await suite.execute("UPDATE vision_predictions SET receive_time = :now WHERE batch_number > 1", {"now": watch.now})
    assert await watch.after(0) == []


async def test_an_ended_session_is_watched_no_more(
    suite: Suite, person: Person, session_id: UUID, watch: Watch, camera: Camera
) -> None:
    await camera.send("vision", "audio")
    await watch.after(0)
    await person.end_session(session_id)
    watch.now += timedelta(seconds=60)
    await camera.send("audio")
    assert await watch.after(0) == []


async def test_newest_predictions_are_found_by_the_unique_key(suite: Suite) -> None:
    statement = "EXPLAIN " + NEWEST.replace("$1::", "ARRAY['018f0000-0000-7000-8000-000000000001']::")
    async with suite.database.read() as tx:
        plan = "\n".join(row[0] for row in await tx.driver.fetch(statement))
    assert "Seq Scan" not in plan
    assert "Index Scan Backward" in plan
