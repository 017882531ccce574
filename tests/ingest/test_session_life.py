"""Who sends in a session, how it ends, and what is taken after its end; over a real channel."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import grpc
import pytest

from libs.common.db.database import Database, Transaction
from libs.common.observability.metrics import Metrics
from libs.common.rpc.errors import reason_of
from libs.common.timestamps import to_datetime
from quietus.ingest.v1 import ingest_pb2, sessions_pb2
from quietus_edge.ids import uuid7
from services.ingest.senders import NUMBERS
from services.ingest.service import ending
from services.ingest.service import sessions as service_sessions
from services.ingest.service.activity import Activity
from services.ingest.service.ending import SessionEnds
from services.ingest.store import predictions as store_predictions
from tests.conftest import MakeDatabase
from tests.ingest import make
from tests.ingest.suite import Person, Stream, Suite, running, token
from tests.ingest.test_store import backfilled, told

SILENCE = timedelta(minutes=30)
HELD = """
SELECT count(*) FROM pg_locks
WHERE pid = pg_backend_pid() AND relation = 'sessions'::regclass AND mode = 'RowExclusiveLock'
"""


def on_device(person: Person, device_id: UUID) -> Person:
    metadata = token(person.user_id, person.anonymous_id, device_id=str(device_id))
    return Person(person.stub, person.user_id, person.anonymous_id, metadata)


async def details(person: Person, session_id: UUID) -> ingest_pb2.GetSessionResponse:
    request = ingest_pb2.GetSessionRequest(session_id=str(session_id))
    return await person.stub.GetSession(request, metadata=person.metadata)


async def listed(person: Person, session_id: UUID) -> Sequence[ingest_pb2.StoredPrediction]:
    request = ingest_pb2.ListPredictionsRequest(session_id=str(session_id), modality=1)
    return (await person.stub.ListPredictions(request, metadata=person.metadata)).predictions


class Looks:
    """The job that ends sessions, by a clock of its own."""

    def __init__(self, suite: Suite, activity: Activity | None = None, database: Database | None = None) -> None:
        self.now = make.now()
        self.metrics = Metrics("ingest")
        # How much of `now` is the clock's alone.
        self._set_ahead = timedelta(0)
        self._ends = SessionEnds(
            database or suite.database,
            activity or Activity(),
            self.metrics,
            SILENCE,
            lambda: self.now,
            self._running_seconds,
        )

    def _running_seconds(self) -> float:
        return (self.now - self._set_ahead).timestamp()

    def set_clock(self, ahead: timedelta) -> None:
        self.now += ahead
        self._set_ahead += ahead

    async def after(self, wait: timedelta) -> int:
        self.now += wait
        return await self._ends.look()


async def test_two_devices_at_the_same_time_number_for_themselves(suite: Suite) -> None:
    person = suite.person()
    phone, tablet = on_device(person, uuid4()), on_device(person, uuid4())
    session_id = await phone.start_session()
    streams = [await phone.stream(session_id), await tablet.stream(session_id)]
    for number in (1, 2):
        for stream in streams:
            await stream.send(number, make.chunk())
    for stream in streams:
        assert await stream.acknowledged(2) == []
    events = await told(suite)
    committed = [event.predictions_committed for event in events if event.HasField("predictions_committed")]
    assert sorted(one.batch.batch_number for one in committed) == [1, 2, NUMBERS + 1, NUMBERS + 2]
    assert {stored.batch_number for stored in await listed(person, session_id)} == {1, 2, NUMBERS + 1, NUMBERS + 2}
    # What two devices sent within a millisecond may change places; what one sent may not.
    assert sorted(map(str, await backfilled(suite))) == sorted(map(str, events))


async def test_outcomes_name_batches_as_their_sender_does(suite: Suite) -> None:
    person = suite.person()
    session_id = await person.start_session()
    await person.record(session_id, make.batch(1, make.chunk()))
    other = on_device(person, uuid4())
    stream = await other.stream(session_id)
    await stream.send(7, [make.vision(confidence=2), make.audio()])
    [outcome] = await stream.acknowledged(7)
    assert (outcome.batch_number, outcome.accepted) == (7, 1)
    assert (await other.record(session_id, make.batch(8, make.chunk()))).batch_number == 8


async def test_the_session_knows_who_started_and_who_continued(suite: Suite) -> None:
    person = suite.person()
    devices = [uuid4(), uuid4()]
    phone, tablet = (on_device(person, device) for device in devices)
    session_id = await phone.start_session()
    for who in (phone, tablet, phone):
        stream = await who.stream(session_id)
        await stream.call.done_writing()
        assert await stream.call.code() == grpc.StatusCode.OK
    found = await details(person, session_id)
    assert found.session.device_id == str(devices[0])
    assert [sender.device_id for sender in found.senders] == [str(device) for device in devices]
    assert [sender.ordinal for sender in found.senders] == [0, 1]


async def test_a_queue_made_anew_on_the_same_device_counts_for_itself(suite: Suite) -> None:
    person = on_device(suite.person(), uuid4())
    session_id = await person.start_session()
    for sender_id in (uuid4(), uuid4()):
        request = ingest_pb2.RecordPredictionsRequest(
            session_id=str(session_id), batch=make.batch(1, make.chunk()), sender_id=str(sender_id)
        )
        await person.stub.RecordPredictions(request, metadata=person.metadata)
    assert {stored.batch_number for stored in await listed(person, session_id)} == {1, NUMBERS + 1}


async def test_senders_have_a_bound(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_sessions, "SENDERS_MAX", 1)
    person = suite.person()
    session_id = await person.start_session()
    await person.stream(session_id)
    await person.stream(session_id)
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await on_device(person, uuid4()).stream(session_id)
    assert (error.value.code(), reason_of(error.value)) == (grpc.StatusCode.FAILED_PRECONDITION, "TOO_MANY_SENDERS")


@pytest.mark.parametrize("sender_id", ["no uuid", "0" * 37])
async def test_a_malformed_sender(suite: Suite, sender_id: str) -> None:
    person = suite.person()
    opening = ingest_pb2.OpenStream(session_id=str(await person.start_session()), sender_id=sender_id)
    requests = iter([ingest_pb2.StreamPredictionsRequest(open=opening)])
    error = await Stream(person.stub.StreamPredictions(requests, metadata=person.metadata)).error()
    assert (error.code(), reason_of(error)) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")


async def test_a_number_that_is_another_senders(suite: Suite) -> None:
    person = suite.person()
    stream = await person.stream(await person.start_session())
    await stream.send(NUMBERS, make.chunk())
    assert reason_of(await stream.error()) == "BATCH_NUMBER_TOO_LARGE"


async def test_late_predictions_are_taken_and_marked(suite: Suite) -> None:
    person = suite.person()
    session_id = await person.start_session()
    running_on = await person.stream(session_id)
    await running_on.send(1, make.chunk())
    await running_on.acknowledged(1)
    await person.end_session(session_id)
    await running_on.send(2, make.chunk())
    assert await running_on.acknowledged(2) == []
    opened_late = await on_device(person, uuid4()).stream(session_id)
    await opened_late.send(1, make.chunk())
    assert await opened_late.acknowledged(1) == []
    late = {stored.batch_number: stored.late for stored in await listed(person, session_id)}
    assert late == {1: False, 2: True, NUMBERS + 1: True}
    events = await told(suite)
    committed = [event.predictions_committed for event in events if event.HasField("predictions_committed")]
    assert {one.batch.batch_number: one.late for one in committed} == late
    assert await backfilled(suite) == events


async def test_after_the_grace_an_ended_session_takes_nothing(make_database: MakeDatabase) -> None:
    async with running(make_database("ingest"), session_grace_seconds=3600) as suite:
        person = suite.person()
        session_id = await person.start_session()
        stream = await person.stream(session_id)
        await person.end_session(session_id)
        ended = (await details(person, session_id)).session
        assert to_datetime(ended.grace_end_time) - make.now() > timedelta(minutes=59)
        await suite.execute(
            "UPDATE sessions SET end_receive_time = end_receive_time - interval '61 minutes' WHERE id = :id",
            {"id": session_id},
        )
        await stream.send(1, make.chunk())
        error = await stream.error()
        assert (error.code(), reason_of(error)) == (grpc.StatusCode.FAILED_PRECONDITION, "SESSION_ENDED")
        with pytest.raises(grpc.aio.AioRpcError) as opening:
            await person.stream(session_id)
        assert reason_of(opening.value) == "SESSION_ENDED"
        assert await suite.count("vision_predictions") == 0


async def test_a_session_of_which_nothing_is_heard_ends_with_its_newest_window(suite: Suite) -> None:
    person = suite.person()
    session_id = await person.start_session()
    captured = make.now() + timedelta(seconds=2)
    await person.record(session_id, make.batch(1, [make.vision(start=captured), make.audio()]))
    looks = Looks(suite)
    waits = (timedelta(0), timedelta(minutes=29), timedelta(minutes=1))
    assert [await looks.after(wait) for wait in waits] == [0, 0, 1]
    ended = (await details(person, session_id)).session
    assert ended.status == ingest_pb2.SESSION_STATUS_ENDED
    assert ended.end_cause == sessions_pb2.SESSION_END_CAUSE_SILENCE
    assert to_datetime(ended.end_time) == captured + make.CHUNK
    last = (await told(suite))[-1].session_ended
    assert (last.cause, last.end_time) == (ended.end_cause, ended.end_time)
    assert to_datetime(last.receive_time) == looks.now
    assert await looks.after(timedelta(hours=1)) == 0
    assert await backfilled(suite) == await told(suite)


async def test_a_session_without_predictions_ends_with_its_start(suite: Suite) -> None:
    person = suite.person()
    session_id = await person.start_session()
    looks = Looks(suite)
    await looks.after(timedelta(0))
    assert await looks.after(SILENCE) == 1
    ended = (await details(person, session_id)).session
    assert ended.end_time == ended.start_time


async def test_silence_counts_only_while_somebody_listens(suite: Suite) -> None:
    await suite.person().start_session()
    looks = Looks(suite)
    assert await looks.after(timedelta(hours=2)) == 0
    assert await looks.after(SILENCE - timedelta(seconds=1)) == 0
    assert await looks.after(timedelta(seconds=1)) == 1


async def test_an_open_stream_keeps_its_session(suite: Suite) -> None:
    person = suite.person()
    session_id = await person.start_session()
    stream = await person.stream(session_id)
    here, elsewhere = Looks(suite, suite.activity), Looks(suite)
    await elsewhere.after(timedelta(0))
    for _ in range(3):
        assert await here.after(timedelta(minutes=20)) == 0
        assert await elsewhere.after(timedelta(minutes=20)) == 0
    await stream.call.done_writing()
    assert await stream.call.code() == grpc.StatusCode.OK
    assert await here.after(timedelta(0)) == 0
    assert await elsewhere.after(timedelta(minutes=29)) == 0
    assert await elsewhere.after(timedelta(minutes=1)) == 1


@pytest.mark.parametrize("ahead", [timedelta(minutes=40), timedelta(hours=25)])
async def test_a_clock_that_is_set_ends_no_session_that_another_process_hears(suite: Suite, ahead: timedelta) -> None:
    person = suite.person()
    session_id = await person.start_session()
    await person.stream(session_id)
    here, elsewhere = Looks(suite, suite.activity), Looks(suite)
    for _ in range(3):
        assert await here.after(timedelta(minutes=20)) == 0
        assert await elsewhere.after(timedelta(minutes=20)) == 0
    for looks in (here, elsewhere):
        looks.set_clock(ahead)
    assert await elsewhere.after(timedelta(minutes=1)) == 0
    assert await here.after(timedelta(minutes=1)) == 0
    assert await elsewhere.after(timedelta(minutes=28)) == 0
    assert (await details(person, session_id)).session.status == ingest_pb2.SESSION_STATUS_ACTIVE


async def test_a_session_that_cant_be_ended_holds_up_no_other(
    suite: Suite, make_database: MakeDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ending, "SESSIONS_PER_LOOK", 1)
    held, other = [await suite.person().start_session() for _ in range(2)]
    impatient = suite.database.beside(1, lock_timeout_seconds=0.05)
    looks = Looks(suite, database=impatient)
    await looks.after(timedelta(0))
    async with make_database("ingest").transaction() as tx:
        await tx.execute("SELECT FROM sessions WHERE id = :id FOR UPDATE", {"id": held})
        assert await looks.after(SILENCE) == 1
    await impatient.close()
    assert looks.metrics.registry.get_sample_value("quietus_sessions_passed_over_total") == 1
    async with suite.database.read() as tx:
        assert await tx.scalar("SELECT id FROM sessions WHERE status = 'ENDED'") == other


async def test_a_session_ends_with_its_newest_window_whatever_the_ids_of_its_chunks(
    suite: Suite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_predictions, "BY_NEWEST_CHUNK", "ORDER BY chunk_id DESC LIMIT 1")
    person, start = suite.person(), make.now()
    session_id = await person.start_session()
    captured = start + timedelta(hours=1)
    old_id, new_id = uuid7(start), uuid7(captured)
    await person.record(session_id, make.batch(1, [make.vision(old_id, captured), make.vision(new_id, start)]))
    looks = Looks(suite)
    await looks.after(timedelta(0))
    assert await looks.after(SILENCE) == 1
    assert to_datetime((await details(person, session_id)).session.end_time) == captured + make.CHUNK


async def test_the_table_of_sessions_is_locked_before_predictions_are_read_again(
    suite: Suite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As who makes partitions does: the other way round they would wait for each other."""
    held: list[int] = []
    recent_capture = store_predictions.recent_capture

    async def noted(tx: Transaction, session_id: UUID) -> datetime | None:
        held.append(await tx.scalar(HELD))
        return await recent_capture(tx, session_id)

    monkeypatch.setattr(store_predictions, "recent_capture", noted)
    await suite.person().start_session()
    looks = Looks(suite)
    await looks.after(timedelta(0))
    assert await looks.after(SILENCE) == 1
    assert held == [1]


async def test_a_call_counts_as_a_sign(suite: Suite) -> None:
    person = suite.person()
    session_id = await person.start_session()
    looks = Looks(suite, suite.activity)
    await looks.after(timedelta(0))
    looks.now += timedelta(minutes=29)
    await person.record(session_id, make.batch(1, make.chunk()))
    assert await looks.after(timedelta(minutes=1)) == 0
    assert await looks.after(timedelta(minutes=29)) == 0
    assert await looks.after(timedelta(minutes=1)) == 1


async def test_no_session_lasts_longer_than_a_day(suite: Suite) -> None:
    person = suite.person()
    session_id = await person.start_session()
    await person.stream(session_id)
    looks = Looks(suite, suite.activity)
    assert await looks.after(timedelta(hours=23, minutes=59)) == 0
    assert await looks.after(timedelta(minutes=2)) == 1
    assert (await details(person, session_id)).session.end_cause == sessions_pb2.SESSION_END_CAUSE_AGE


async def test_two_processes_end_a_session_once(suite: Suite) -> None:
    person = suite.person()
    await person.start_session()
    looks = [Looks(suite), Looks(suite)]
    for one in looks:
        await one.after(timedelta(0))
    assert [await one.after(timedelta(hours=1)) for one in looks] == [1, 0]
    assert sum(event.HasField("session_ended") for event in await told(suite)) == 1


async def test_a_session_that_ended_by_silence_takes_what_waited_on_the_device(suite: Suite) -> None:
    person = suite.person()
    session_id = await person.start_session()
    looks = Looks(suite)
    looks.now -= timedelta(hours=2)
    await looks.after(timedelta(0))
    await suite.execute("UPDATE sessions SET receive_time = receive_time - interval '3 hours'", {})
    assert await looks.after(SILENCE) == 1
    await person.record(session_id, make.batch(1, make.chunk()))
    assert [stored.late for stored in await listed(person, session_id)] == [True]
    await person.end_session(session_id)
    assert (await details(person, session_id)).session.end_cause == sessions_pb2.SESSION_END_CAUSE_SILENCE
