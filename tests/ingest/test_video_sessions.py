"""Video sessions over a real channel: started, ended, shown and listed."""

from datetime import timedelta

import pytest

from libs.common.db.audit import verify_chain
from libs.common.timestamps import to_timestamp
from quietus.common.v1.options_pb2 import ROLE_USER
from quietus.ingest.v1 import video_pb2
from tests.ingest import make
from tests.ingest.records import care_for, refusal
from tests.ingest.suite import Suite, service_token
from tests.ingest.video import Viewer, start_request


@pytest.fixture
def viewer(suite: Suite) -> Viewer:
    return Viewer(suite, suite.person())


async def test_starting_again_returns_the_session_as_it_is(suite: Suite, viewer: Viewer) -> None:
    request = start_request()
    session = await viewer.start_as(request)
    assert await viewer.start_as(request) == session == await viewer.get(request.stream_session_id)
    assert (session.type, session.platform, session.start_time) == (request.type, request.platform, request.start_time)
    assert (session.status, session.HasField("end_time")) == (video_pb2.VIDEO_SESSION_STATUS_ACTIVE, False)
    assert session.anonymous_id == viewer.person.anonymous_id
    await viewer.end(request.stream_session_id)
    assert (await viewer.start_as(request)).status == video_pb2.VIDEO_SESSION_STATUS_ENDED
    assert [await suite.count(table) for table in ("video_sessions", "audit_logs")] == [1, 2]
    async with suite.database.read() as tx:
        assert await verify_chain(tx) == 2


@pytest.mark.parametrize(
    "changed",
    [
        {"type": video_pb2.VIDEO_SESSION_TYPE_MONITORING},
        {"platform": video_pb2.CLIENT_PLATFORM_IOS},
        {"start_time": to_timestamp(make.now() - timedelta(hours=2))},
    ],
    ids=lambda changed: next(iter(changed)),
)
async def test_an_id_that_is_taken(suite: Suite, viewer: Viewer, changed: dict) -> None:
    request = start_request()
    await viewer.start_as(request)
    call = Viewer(suite, suite.person()).start_as(request)
    assert await refusal(call) == ("ALREADY_EXISTS", "VIDEO_SESSION_EXISTS", [])
    request.MergeFrom(video_pb2.StartVideoSessionRequest(**changed))
    assert await refusal(viewer.start_as(request)) == ("ALREADY_EXISTS", "VIDEO_SESSION_EXISTS", [])
    assert await suite.count("video_sessions") == 1


@pytest.mark.parametrize(
    ("failed", "status"),
    [(False, video_pb2.VIDEO_SESSION_STATUS_ENDED), (True, video_pb2.VIDEO_SESSION_STATUS_FAILED)],
)
async def test_the_first_end_stands(suite: Suite, viewer: Viewer, failed: bool, status: int) -> None:
    session_id = (await viewer.start()).stream_session_id
    ended = await viewer.end(session_id, failed=failed)
    assert ended.status == status
    assert await viewer.end(session_id, make.now() + timedelta(hours=1), failed=not failed) == ended
    assert await viewer.get(session_id) == ended
    assert await suite.count("audit_logs") == 2


async def test_other_peoples_sessions_are_not_found(suite: Suite, viewer: Viewer) -> None:
    session_id = (await viewer.start()).stream_session_id
    for other in (Viewer(suite, suite.person()), Viewer(suite, suite.counselor())):
        assert await refusal(other.get(session_id)) == ("NOT_FOUND", "VIDEO_SESSION_NOT_FOUND", [])
    call = Viewer(suite, suite.person()).end(session_id)
    assert await refusal(call) == ("NOT_FOUND", "VIDEO_SESSION_NOT_FOUND", [])
    assert await refusal(viewer.get("nobodys")) == ("NOT_FOUND", "VIDEO_SESSION_NOT_FOUND", [])


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("stream_session_id", {"stream_session_id": "x" * 129}),
        ("stream_session_id", {"stream_session_id": "with words"}),
        ("type", {"type": 9}),
        ("platform", {"platform": 9}),
        ("start_time", {"start_time": to_timestamp(make.now() + timedelta(days=1, hours=1))}),
    ],
)
async def test_bad_input_names_its_field(suite: Suite, viewer: Viewer, field: str, wrong: dict) -> None:
    assert await refusal(viewer.start(**wrong)) == ("INVALID_ARGUMENT", "INVALID_FIELD", [field])
    assert await suite.count("video_sessions") == 0


@pytest.mark.parametrize("field", ["stream_session_id", "type", "platform", "start_time"])
async def test_what_is_required(viewer: Viewer, field: str) -> None:
    request = start_request()
    request.ClearField(field)
    assert await refusal(viewer.start_as(request)) == ("INVALID_ARGUMENT", "INVALID_FIELD", [field])


@pytest.mark.parametrize("hours", [-1, 26])
async def test_an_end_before_the_start_or_far_ahead(viewer: Viewer, hours: int) -> None:
    session_id = (await viewer.start()).stream_session_id
    call = viewer.end(session_id, make.now() + timedelta(hours=hours))
    assert await refusal(call) == ("INVALID_ARGUMENT", "INVALID_FIELD", ["end_time"])


async def test_lists_are_newest_first_and_by_status(suite: Suite) -> None:
    viewer = Viewer(suite, suite.person(ROLE_USER))
    ids = {}
    for hours in (5, 1, 4, 2, 3):
        start = to_timestamp(make.now() - timedelta(hours=hours))
        request = start_request()
        request.start_time.CopyFrom(start)
        ids[hours] = (await viewer.start_as(request)).stream_session_id
    for hours in (1, 4, 5):
        await viewer.end(ids[hours], failed=hours == 1)
    await Viewer(suite, suite.person()).start()
    found = [session.stream_session_id for session in await viewer.sessions()]
    assert found == [ids[hours] for hours in (1, 2, 3, 4, 5)]
    for status, expected in (("ACTIVE", (2, 3)), ("ENDED", (4, 5)), ("FAILED", (1,))):
        value = video_pb2.VideoSessionStatus.Value(f"VIDEO_SESSION_STATUS_{status}")
        found = [session.stream_session_id for session in await viewer.sessions(status=value)]
        assert found == [ids[hours] for hours in expected]


async def test_counselors_list_those_in_care_and_each_look_is_audited(suite: Suite, viewer: Viewer) -> None:
    others = [Viewer(suite, suite.person()) for _ in range(3)]
    counselor = Viewer(suite, suite.counselor())
    ids = [(await one.start()).stream_session_id for one in (viewer, *others)]
    await viewer.start()
    active, name = video_pb2.VIDEO_SESSION_STATUS_ACTIVE, viewer.person.anonymous_id
    assert await counselor.sessions(status=active) == []
    assert (await refusal(counselor.sessions(anonymous_id=name)))[1] == "NOT_YOUR_PERSON"
    for one in (viewer, others[0]):
        await care_for(suite, counselor.person, one.person)
    await others[0].end(ids[1])
    assert await refusal(counselor.sessions()) == ("INVALID_ARGUMENT", "INVALID_FIELD", ["status"])
    audited = await suite.count("audit_logs")
    assert {session.anonymous_id for session in await counselor.sessions(status=active)} == {name}
    assert await suite.count("audit_logs") == audited + 1  # a person, however many sessions
    assert len(await counselor.sessions(anonymous_id=name)) == 2
    assert (await counselor.get(ids[0])).stream_session_id == ids[0]
    assert await suite.count("audit_logs") == audited + 3
    assert (await refusal(counselor.start()))[1] == "ROLE_NOT_ALLOWED"


async def test_services_list_nothing(viewer: Viewer) -> None:
    call = viewer.stub.ListVideoSessions(video_pb2.ListVideoSessionsRequest(), metadata=service_token())
    assert (await refusal(call))[1] == "ROLE_NOT_ALLOWED"
