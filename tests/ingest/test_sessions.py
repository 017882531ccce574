"""Sessions over a real channel: who may start, end and see them."""

from datetime import timedelta
from uuid import UUID

import grpc
import pytest

from libs.common.rpc.errors import reason_of
from libs.common.timestamps import to_datetime, to_timestamp
from quietus.common.v1.types_pb2 import MODALITY_TEXT, MODALITY_VISION
from quietus.ingest.v1 import ingest_pb2
from quietus_edge.errors import metadata_of
from quietus_edge.ids import uuid7
from tests.ingest import make
from tests.ingest.suite import Person, Suite


def start_request(session_id: UUID, start_time: object = None) -> ingest_pb2.StartSessionRequest:
    return ingest_pb2.StartSessionRequest(session_id=str(session_id), start_time=to_timestamp(start_time or make.now()))


async def refused(person: Person, request: ingest_pb2.StartSessionRequest) -> grpc.RpcError:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await person.stub.StartSession(request, metadata=person.metadata)
    return error.value


async def care_for(suite: Suite, counselor: Person, person: Person) -> None:
    await suite.execute(
        "INSERT INTO care_assignments (counselor_id, user_id, assign_time) VALUES (:counselor_id, :user_id, now())",
        {"counselor_id": counselor.user_id, "user_id": person.user_id},
    )


async def test_starting_again_returns_the_session_as_it_is(suite: Suite) -> None:
    person = suite.person()
    request = start_request(uuid7())
    first = await person.stub.StartSession(request, metadata=person.metadata)
    assert await person.stub.StartSession(request, metadata=person.metadata) == first
    assert first.session.status == ingest_pb2.SESSION_STATUS_ACTIVE
    assert first.session.anonymous_id == person.anonymous_id
    assert await suite.count("outbox") == 1
    assert await suite.count("audit_logs") == 1


async def test_an_id_that_is_taken(suite: Suite) -> None:
    person = suite.person()
    session_id = await person.start_session()
    for other in (person, suite.person()):
        error = await refused(other, start_request(session_id, make.now() - timedelta(hours=1)))
        assert (error.code(), reason_of(error)) == (grpc.StatusCode.ALREADY_EXISTS, "SESSION_EXISTS")


@pytest.mark.parametrize("days", [-91, 2, 365])
async def test_session_times_have_bounds(suite: Suite, days: int) -> None:
    then = make.now() + timedelta(days=days)
    for request in (start_request(uuid7(then)), start_request(uuid7(), then)):
        error = await refused(suite.person(), request)
        assert (error.code(), reason_of(error)) == (
            grpc.StatusCode.INVALID_ARGUMENT,
            "SESSION_TIME_OUT_OF_BOUNDS",
        )
        assert "server_time" in metadata_of(error)


async def test_a_session_of_weeks_ago_takes_predictions(suite: Suite) -> None:
    person = suite.person()
    then = make.now() - timedelta(days=60)
    session_id = await person.start_session(then)
    outcome = await person.record(session_id, make.batch(1, make.chunk(then + timedelta(hours=1))))
    assert outcome.accepted == 3


async def test_an_id_without_a_time(suite: Suite) -> None:
    error = await refused(suite.person(), start_request(UUID("018f0000-0000-4000-8000-000000000001")))
    assert (error.code(), reason_of(error)) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")


async def test_the_first_end_stands(suite: Suite) -> None:
    person = suite.person()
    session_id = await person.start_session()
    await person.end_session(session_id)
    request = ingest_pb2.GetSessionRequest(session_id=str(session_id))
    ended = (await person.stub.GetSession(request, metadata=person.metadata)).session
    assert ended.status == ingest_pb2.SESSION_STATUS_ENDED
    await person.end_session(session_id)
    assert (await person.stub.GetSession(request, metadata=person.metadata)).session == ended
    assert await suite.count("outbox") == 2


@pytest.mark.parametrize("days", [-1, 365])
async def test_an_end_before_the_start_or_far_ahead(suite: Suite, days: int) -> None:
    person = suite.person()
    session_id = await person.start_session()
    end_time = to_timestamp(make.now() + timedelta(days=days))
    request = ingest_pb2.EndSessionRequest(session_id=str(session_id), end_time=end_time)
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await person.stub.EndSession(request, metadata=person.metadata)
    assert (error.value.code(), reason_of(error.value)) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")


async def test_nobody_else_ends_a_session(suite: Suite) -> None:
    session_id = await suite.person().start_session()
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await suite.person().end_session(session_id)
    assert (error.value.code(), reason_of(error.value)) == (grpc.StatusCode.NOT_FOUND, "SESSION_NOT_FOUND")


async def test_counts_and_predictions_are_shown_as_accepted(suite: Suite) -> None:
    person = suite.person()
    session_id = await person.start_session()
    chunks = [make.chunk() for _ in range(5)]
    await person.record(session_id, make.batch(1, [prediction for chunk in chunks for prediction in chunk]))
    got = await person.stub.GetSession(
        ingest_pb2.GetSessionRequest(session_id=str(session_id)), metadata=person.metadata
    )
    assert [(count.modality, count.predictions) for count in got.counts] == [(1, 5), (2, 5), (3, 5)]
    for modality in (1, 2, 3):
        request = ingest_pb2.ListPredictionsRequest(session_id=str(session_id), modality=modality, page_size=2)
        listed: list[ingest_pb2.StoredPrediction] = []
        while not listed or request.page_token:
            page = await person.stub.ListPredictions(request, metadata=person.metadata)
            assert len(page.predictions) <= 2
            listed.extend(page.predictions)
            request.page_token = page.next_page_token
        assert [stored.prediction for stored in listed] == [chunk[modality - 1] for chunk in chunks]
        assert {(stored.batch_number, len(stored.content_digest)) for stored in listed} == {(1, 32)}


async def test_pages_of_sessions_newest_first(suite: Suite) -> None:
    person = suite.person()
    ids = [await person.start_session(make.now() - timedelta(hours=hours)) for hours in (1, 3, 2)]
    request = ingest_pb2.ListSessionsRequest(page_size=2)
    first = await person.stub.ListSessions(request, metadata=person.metadata)
    request.page_token = first.next_page_token
    second = await person.stub.ListSessions(request, metadata=person.metadata)
    assert [s.session_id for s in (*first.sessions, *second.sessions)] == [str(ids[i]) for i in (0, 2, 1)]
    assert second.next_page_token == ""
    assert to_datetime(first.sessions[0].start_time) > to_datetime(first.sessions[1].start_time)


async def test_a_page_token_of_another_list(suite: Suite) -> None:
    person = suite.person()
    session_id = await person.start_session()
    await person.record(session_id, make.batch(1, [*make.chunk(), *make.chunk()]))
    request = ingest_pb2.ListPredictionsRequest(session_id=str(session_id), modality=MODALITY_VISION, page_size=1)
    request.page_token = (await person.stub.ListPredictions(request, metadata=person.metadata)).next_page_token
    request.modality = MODALITY_TEXT
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await person.stub.ListPredictions(request, metadata=person.metadata)
    assert reason_of(error.value) == "PAGE_TOKEN_INVALID"


async def test_a_counselor_sees_people_in_care_and_each_look_is_audited(suite: Suite) -> None:
    person, counselor = suite.person(), suite.counselor()
    session_id = await person.start_session()
    request = ingest_pb2.ListSessionsRequest(anonymous_id=person.anonymous_id)
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await counselor.stub.ListSessions(request, metadata=counselor.metadata)
    assert reason_of(error.value) == "NOT_YOUR_PERSON"
    await care_for(suite, counselor, person)
    audited = await suite.count("audit_logs")
    listed = await counselor.stub.ListSessions(request, metadata=counselor.metadata)
    assert [session.session_id for session in listed.sessions] == [str(session_id)]
    assert await suite.count("audit_logs") == audited + 1


async def test_other_peoples_sessions_are_not_found(suite: Suite) -> None:
    session_id = await suite.person().start_session()
    request = ingest_pb2.GetSessionRequest(session_id=str(session_id))
    for other in (suite.person(), suite.counselor()):
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await other.stub.GetSession(request, metadata=other.metadata)
        assert (error.value.code(), reason_of(error.value)) == (grpc.StatusCode.NOT_FOUND, "SESSION_NOT_FOUND")
