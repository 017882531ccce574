"""What is seen in video sessions, streamed over a real channel: durable when answered, once each."""

import asyncio
from datetime import timedelta
from uuid import uuid4

import grpc
import pytest
from grpc.aio import EOF

from libs.common.timestamps import to_timestamp
from quietus.common.v1.options_pb2 import ROLE_DEVICE
from quietus.common.v1.types_pb2 import RISK_LEVEL_CRITICAL, RISK_LEVEL_HIGH, RISK_LEVEL_LOW
from quietus.ingest.v1 import video_pb2
from tests.conftest import MakeDatabase
from tests.ingest import make
from tests.ingest.records import care_for, refusal, refusal_of
from tests.ingest.suite import PATIENCE_SECONDS, Suite, running, token
from tests.ingest.video import Stream, Viewer, event

TABLE = "video_analysis_events"


@pytest.fixture
def viewer(suite: Suite) -> Viewer:
    return Viewer(suite, suite.person())


async def test_a_batch_is_durable_when_it_is_answered(suite: Suite, viewer: Viewer) -> None:
    session = await viewer.start()
    stream, events = viewer.stream(), [event(make.now() - timedelta(seconds=n)) for n in range(5)]
    events[0].confidence = 0.99996
    for number, sent in enumerate((events[:2], events[2:]), 1):
        answer = await stream.record(session.stream_session_id, *sent)
        assert (answer.accepted, answer.duplicates, list(answer.conflicting_event_ids)) == (len(sent), 0, [])
        assert await suite.count(TABLE) == (2, 5)[number - 1]
    events[0].confidence = 1.0
    stored = await viewer.events(stream_session_id=session.stream_session_id)
    assert [one.event for one in stored] == events
    assert {(one.stream_session_id, one.anonymous_id) for one in stored} == {
        (session.stream_session_id, viewer.person.anonymous_id)
    }


async def test_what_is_sent_again_changes_nothing(suite: Suite, viewer: Viewer) -> None:
    session_id = (await viewer.start()).stream_session_id
    events = [event() for _ in range(3)]
    await viewer.record(session_id, *events)
    events[0].signals.reverse()  # the order of signals says nothing
    answer = await viewer.record(session_id, *reversed(events), event())
    assert (answer.accepted, answer.duplicates, list(answer.conflicting_event_ids)) == (1, 3, [])
    assert await suite.count(TABLE) == 4


@pytest.mark.parametrize(
    "changed",
    [
        {"event_time": to_timestamp(make.now() - timedelta(hours=1))},
        {"risk_level": RISK_LEVEL_LOW},
        {"confidence": 0.1},
        {"signals": [video_pb2.VideoSignal(name="posture", value=1)]},
        {"model_version": "video-2"},
        {"latency_milliseconds": 46},
    ],
    ids=lambda changed: next(iter(changed)),
)
async def test_other_content_under_the_same_id_is_a_conflict_and_the_first_stays(viewer: Viewer, changed: dict) -> None:
    session_id, first = (await viewer.start()).stream_session_id, event()
    await viewer.record(session_id, first)
    other = video_pb2.VideoEvent()
    other.CopyFrom(first)
    other.MergeFrom(video_pb2.VideoEvent(**changed))
    answer = await viewer.record(session_id, other, event())
    assert (answer.accepted, answer.duplicates) == (1, 0)
    assert list(answer.conflicting_event_ids) == [first.event_id]
    assert first in [stored.event for stored in await viewer.events(stream_session_id=session_id)]


async def test_an_event_of_another_session_is_a_conflict(suite: Suite, viewer: Viewer) -> None:
    one, sent = (await viewer.start()).stream_session_id, event()
    await viewer.record(one, sent)
    other = Viewer(suite, suite.person())
    for somebody in (viewer, other):
        answer = await somebody.record((await somebody.start()).stream_session_id, sent)
        assert list(answer.conflicting_event_ids) == [sent.event_id]
    assert await other.events() == []


async def test_two_streams_with_the_same_events_store_each_once(suite: Suite, viewer: Viewer) -> None:
    session_id, events = (await viewer.start()).stream_session_id, [event() for _ in range(200)]
    sent = (events, events[::-1], events)
    answers = await asyncio.gather(*(viewer.record(session_id, *batch) for batch in sent))
    assert sum(answer.accepted for answer in answers) == 200
    assert sum(answer.duplicates for answer in answers) == 400
    assert await suite.count(TABLE) == 200


def with_fields(**fields: object) -> video_pb2.VideoEvent:
    sent = event()
    sent.MergeFrom(video_pb2.VideoEvent(**fields))
    return sent


def without(field: str) -> video_pb2.VideoEvent:
    sent = event()
    sent.ClearField(field)
    return sent


SIGNAL = video_pb2.VideoSignal
BAD_EVENTS = [
    ("event_id", with_fields(event_id="no-uuid")),
    ("event_time", with_fields(event_time=to_timestamp(make.now() - timedelta(days=2)))),
    ("event_time", with_fields(event_time=to_timestamp(make.now() + timedelta(days=9)))),
    ("risk_level", with_fields(risk_level=5)),
    ("confidence", with_fields(confidence=-0.1)),
    ("confidence", with_fields(confidence=float("nan"))),
    ("signals", with_fields(signals=[SIGNAL(name="tears", value=0.5)])),
    ("signals", with_fields(signals=[SIGNAL(name=f"signal_{n}", value=0) for n in range(31)])),
    ("signals[2].name", with_fields(signals=[SIGNAL(name="Looks like words", value=0)])),
    ("signals[2].name", with_fields(signals=[SIGNAL(name="x" * 51, value=0)])),
    ("signals[2].name", with_fields(signals=[SIGNAL(value=0)])),
    ("signals[2].value", with_fields(signals=[SIGNAL(name="posture", value=1.5)])),
    ("model_version", with_fields(model_version="x" * 65)),
    ("latency_milliseconds", with_fields(latency_milliseconds=-1)),
    ("latency_milliseconds", with_fields(latency_milliseconds=3_600_001)),
    *((field, without(field)) for field in ("event_id", "event_time", "risk_level", "model_version")),
]


@pytest.mark.parametrize(("field", "bad"), BAD_EVENTS, ids=[f"{n}-{field}" for n, (field, _) in enumerate(BAD_EVENTS)])
async def test_a_bad_event_refuses_its_batch_and_names_its_field(
    suite: Suite, viewer: Viewer, field: str, bad: video_pb2.VideoEvent
) -> None:
    session_id, stream = (await viewer.start()).stream_session_id, viewer.stream()
    await stream.record(session_id, event())
    call = stream.record(session_id, event(), bad)
    assert await refusal(call) == ("INVALID_ARGUMENT", "INVALID_FIELD", [f"events[1].{field}"])
    assert await suite.count(TABLE) == 1  # what was answered before stays


async def test_bad_batches(suite: Suite, viewer: Viewer) -> None:
    session_id, twice = (await viewer.start()).stream_session_id, event()
    for events, field in (([], "events"), ([event()] * 501, "events"), ([twice, twice], "events[1].event_id")):
        assert await refusal(viewer.record(session_id, *events)) == ("INVALID_ARGUMENT", "INVALID_FIELD", [field])
    call = viewer.record("", event())
    assert await refusal(call) == ("INVALID_ARGUMENT", "INVALID_FIELD", ["stream_session_id"])
    assert await suite.count(TABLE) == 0


async def test_bytes_that_are_no_message(suite: Suite, viewer: Viewer) -> None:
    method = suite.channel.stream_stream("/quietus.ingest.v1.VideoService/RecordVideoEvents")
    call = method(metadata=viewer.metadata, timeout=PATIENCE_SECONDS)
    await call.write(b"\xff\xff\xff")
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call.read()
    assert refusal_of(error.value)[:2] == ("INVALID_ARGUMENT", "MALFORMED_MESSAGE")


async def test_whose_session_takes_events_and_until_when(suite: Suite, viewer: Viewer) -> None:
    session_id = (await viewer.start()).stream_session_id
    other = Viewer(suite, suite.person())
    assert (await refusal(other.record(session_id, event())))[:2] == ("NOT_FOUND", "VIDEO_SESSION_NOT_FOUND")
    counselor = Viewer(suite, suite.counselor())
    assert (await refusal(counselor.record(session_id, event())))[1] == "ROLE_NOT_ALLOWED"
    await viewer.end(session_id)
    assert (await refusal(viewer.record(session_id, event())))[:2] == ("FAILED_PRECONDITION", "VIDEO_SESSION_ENDED")
    assert await suite.count(TABLE) == 0


async def test_a_stream_that_sends_nothing_is_ended(make_database: MakeDatabase) -> None:
    async with running(make_database("ingest"), stream_idle_seconds=0.05) as suite:
        call = Viewer(suite, suite.person()).stream().answer()
        assert (await refusal(call))[:2] == ("DEADLINE_EXCEEDED", "STREAM_IDLE")


async def test_a_draining_server_ends_the_stream_after_its_answers(suite: Suite, viewer: Viewer) -> None:
    session_id, stream = (await viewer.start()).stream_session_id, viewer.stream()
    assert (await stream.record(session_id, event())).accepted == 1
    draining = asyncio.create_task(suite.server.drain(PATIENCE_SECONDS))
    assert await stream.call.read() is EOF
    assert await stream.call.code() == grpc.StatusCode.OK
    await draining


async def test_a_token_near_its_end_ends_the_stream(suite: Suite, viewer: Viewer) -> None:
    metadata = token(viewer.person.user_id, viewer.person.anonymous_id, ROLE_DEVICE, timedelta(seconds=29))
    stream = Stream(viewer.stub.RecordVideoEvents(metadata=metadata, timeout=PATIENCE_SECONDS))
    assert await stream.call.read() is EOF
    assert await stream.call.code() == grpc.StatusCode.OK


async def seen(viewer: Viewer, **filters: object) -> list[str]:
    return [stored.event.event_id for stored in await viewer.events(**filters)]


async def test_lists_by_session_level_and_time(suite: Suite, viewer: Viewer) -> None:
    now = make.now()
    levels = (RISK_LEVEL_LOW, RISK_LEVEL_HIGH, RISK_LEVEL_CRITICAL, RISK_LEVEL_HIGH)
    events = [event(now - timedelta(minutes=n), level) for n, level in enumerate(levels)]
    first, second = [(await viewer.start()).stream_session_id for _ in range(2)]
    await viewer.record(first, *events[:2])
    await viewer.record(second, *events[2:])
    stranger = Viewer(suite, suite.person())
    await stranger.record((await stranger.start()).stream_session_id, event())
    ids = [one.event_id for one in events]
    assert await seen(viewer) == ids
    assert await seen(viewer, stream_session_id=second) == ids[2:]
    assert await seen(viewer, risk_level=RISK_LEVEL_HIGH) == [ids[1], ids[3]]
    assert await seen(viewer, stream_session_id=first, risk_level=RISK_LEVEL_HIGH) == [ids[1]]
    start, end = (to_timestamp(now - timedelta(minutes=n)) for n in (2, 0))
    assert await seen(viewer, start_time=start, end_time=end) == ids[1:3]
    call = seen(stranger, stream_session_id=first)
    assert (await refusal(call))[:2] == ("NOT_FOUND", "VIDEO_SESSION_NOT_FOUND")
    assert (await refusal(seen(viewer, stream_session_id="x" * 129)))[2] == ["stream_session_id"]
    assert (await refusal(seen(viewer, risk_level=9)))[2] == ["risk_level"]
    assert (await refusal(seen(stranger, anonymous_id=viewer.person.anonymous_id)))[1] == "NOT_YOUR_PERSON"


async def test_events_of_one_moment_are_all_listed_once(viewer: Viewer) -> None:
    then, session_id = make.now(), (await viewer.start()).stream_session_id
    events = [event(then) for _ in range(7)]
    await viewer.record(session_id, *events)
    found = await seen(viewer, stream_session_id=session_id)
    assert (len(found), set(found)) == (7, {one.event_id for one in events})


async def test_counselors_see_the_events_of_all_in_care_and_are_audited_for_each(suite: Suite) -> None:
    people = [Viewer(suite, suite.person()) for _ in range(3)]
    counselor, expected = Viewer(suite, suite.counselor()), []
    for minutes, viewer in enumerate(people):
        sent = event(make.now() - timedelta(minutes=minutes), RISK_LEVEL_CRITICAL)
        await viewer.record((await viewer.start()).stream_session_id, sent, event(level=RISK_LEVEL_LOW))
        expected.append(sent.event_id)
    assert await seen(counselor) == []
    for viewer in people[:2]:
        await care_for(suite, counselor.person, viewer.person)
    audited = await suite.count("audit_logs")
    assert await seen(counselor, risk_level=RISK_LEVEL_CRITICAL) == expected[:2]
    assert await suite.count("audit_logs") == audited + 2
    assert len(await seen(counselor)) == 4
    name = people[1].person.anonymous_id
    assert await seen(counselor, anonymous_id=name, risk_level=RISK_LEVEL_CRITICAL) == expected[1:2]


async def test_a_person_who_goes_takes_everything_along(suite: Suite, viewer: Viewer) -> None:
    await viewer.record((await viewer.start()).stream_session_id, event())
    await suite.execute("DELETE FROM users WHERE user_id = :user_id", {"user_id": viewer.person.user_id})
    assert [await suite.count(table) for table in ("video_sessions", TABLE)] == [0, 0]


async def test_an_id_that_nobody_knows(viewer: Viewer) -> None:
    assert (await refusal(viewer.record(f"room-{uuid4()}", event())))[1] == "VIDEO_SESSION_NOT_FOUND"
