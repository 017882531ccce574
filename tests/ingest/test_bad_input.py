"""Every bad thing gets a typed status with a stable reason, and a stream beside it doesn't notice."""

import asyncio
import struct
from collections.abc import AsyncIterator
from datetime import timedelta

import grpc
import pytest

from libs.common.rpc.client import bearer
from libs.common.rpc.errors import reason_of
from libs.common.timestamps import to_timestamp
from quietus.common.v1.options_pb2 import ROLE_COUNSELOR, ROLE_DEVICE
from quietus.ingest.v1 import ingest_pb2
from quietus_edge.ids import uuid7
from tests.conftest import MakeDatabase
from tests.ingest import make
from tests.ingest.suite import PATIENCE_SECONDS, Metadata, Stream, Suite, running, token

STREAM = "/quietus.ingest.v1.IngestService/StreamPredictions"
RECORD = "/quietus.ingest.v1.IngestService/RecordPredictions"


@pytest.fixture
async def bystander(suite: Suite) -> AsyncIterator[Stream]:
    """A stream that has sent before, and sends on afterwards."""
    person = suite.person()
    stream = await person.stream(await person.start_session())
    await stream.send(1, make.chunk())
    await stream.acknowledged(1)
    yield stream
    await stream.send(2, make.chunk())
    assert await stream.acknowledged(2) == []


def tokens(suite: Suite) -> dict[str, tuple[Metadata, grpc.StatusCode]]:
    person = suite.person()
    unauthenticated, denied = grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED
    expired = token(person.user_id, person.anonymous_id, ROLE_DEVICE, timedelta(seconds=-5))
    return {
        "TOKEN_MISSING": ((), unauthenticated),
        "TOKEN_INVALID": (bearer("not.a.token"), unauthenticated),
        "TOKEN_EXPIRED": (expired, unauthenticated),
        "ROLE_NOT_ALLOWED": (token(person.user_id, person.anonymous_id, ROLE_COUNSELOR), denied),
    }


@pytest.mark.usefixtures("bystander")
@pytest.mark.parametrize("reason", ["TOKEN_MISSING", "TOKEN_INVALID", "TOKEN_EXPIRED", "ROLE_NOT_ALLOWED"])
async def test_tokens(suite: Suite, reason: str) -> None:
    metadata, status = tokens(suite)[reason]
    stream = Stream(suite.stub.StreamPredictions(metadata=metadata, timeout=PATIENCE_SECONDS))
    error = await stream.error()
    assert (error.code(), reason_of(error)) == (status, reason)


@pytest.mark.usefixtures("bystander")
async def test_a_token_for_another_persons_session(suite: Suite) -> None:
    session_id = await suite.person().start_session()
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await suite.person().stream(session_id)
    assert (error.value.code(), reason_of(error.value)) == (grpc.StatusCode.NOT_FOUND, "SESSION_NOT_FOUND")


@pytest.mark.usefixtures("bystander")
async def test_an_unknown_session(suite: Suite) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await suite.person().stream(uuid7())
    assert (error.value.code(), reason_of(error.value)) == (grpc.StatusCode.NOT_FOUND, "SESSION_NOT_FOUND")


@pytest.mark.usefixtures("bystander")
async def test_a_session_that_ended_long_ago(suite: Suite) -> None:
    person = suite.person()
    session_id = await person.start_session()
    stream = await person.stream(session_id)
    await person.end_session(session_id)
    await suite.execute("UPDATE sessions SET end_receive_time = end_receive_time - interval '8 days'", {})
    await stream.send(1, make.chunk())
    error = await stream.error()
    assert (error.code(), reason_of(error)) == (grpc.StatusCode.FAILED_PRECONDITION, "SESSION_ENDED")
    with pytest.raises(grpc.aio.AioRpcError) as unary:
        await person.record(session_id, make.batch(1, make.chunk()))
    assert reason_of(unary.value) == "SESSION_ENDED"


@pytest.mark.usefixtures("bystander")
async def test_a_session_past_retention(suite: Suite) -> None:
    person = suite.person()
    session_id = uuid7(make.now() - timedelta(days=91))
    ids = {"user_id": person.user_id, "session_id": session_id}
    await suite.execute("INSERT INTO users (user_id, anonymous_id) VALUES (:user_id, 'anon_old')", ids)
    await suite.execute(
        "INSERT INTO sessions (id, user_id, status, started_at, receive_time)"
        " VALUES (:session_id, :user_id, 'ACTIVE', now(), now())",
        ids,
    )
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await person.stream(session_id)
    assert (error.value.code(), reason_of(error.value)) == (grpc.StatusCode.FAILED_PRECONDITION, "SESSION_EXPIRED")


@pytest.mark.usefixtures("bystander")
async def test_predictions_that_nobody_may_keep(suite: Suite) -> None:
    """A transcript of a megabyte, NaN, a score above one, an unknown emotion, a window a year ahead."""
    transcript, emotion, ahead = make.text(), make.vision(), make.vision()
    transcript.text.sealed_transcript = bytes(1_000_000)
    emotion.vision.emotion = 77  # type: ignore[assignment]
    ahead.capture_end_time.CopyFrom(to_timestamp(make.now() + timedelta(days=365)))
    ahead.capture_start_time.CopyFrom(ahead.capture_end_time)
    bad = [transcript, make.vision(confidence=float("nan")), make.vision(confidence=1.5), emotion, ahead]
    person = suite.person()
    stream = await person.stream(await person.start_session())
    before = await suite.count("vision_predictions")
    await stream.send(1, [*bad, make.vision()])
    [outcome] = await stream.acknowledged(1)
    assert outcome.accepted == 1
    assert [(r.index, r.field, ingest_pb2.RefusalReason.Name(r.reason)) for r in outcome.refusals] == [
        (0, "text.sealed_transcript", "REFUSAL_REASON_TOO_LONG"),
        (1, "vision.confidence", "REFUSAL_REASON_OUT_OF_RANGE"),
        (2, "vision.confidence", "REFUSAL_REASON_OUT_OF_RANGE"),
        (3, "vision.emotion", "REFUSAL_REASON_UNKNOWN_VALUE"),
        (4, "capture_end_time", "REFUSAL_REASON_BAD_CAPTURE_TIME"),
    ]
    assert await suite.count("vision_predictions") == before + 1


@pytest.mark.usefixtures("bystander")
async def test_a_batch_of_100_000(suite: Suite) -> None:
    person = suite.person()
    stream = await person.stream(await person.start_session())
    await stream.send(1, [make.prediction(uuid7())] * 100_000)
    error = await stream.error()
    assert (error.code(), reason_of(error)) == (grpc.StatusCode.INVALID_ARGUMENT, "BATCH_TOO_LARGE")


@pytest.mark.usefixtures("bystander")
async def test_bytes_that_are_no_message(suite: Suite) -> None:
    person = suite.person()
    garbage = b"\x0a\xff\xff\xff\xff\x0f" + bytes(100)
    call = suite.channel.stream_stream(STREAM)(metadata=person.metadata, timeout=PATIENCE_SECONDS)
    await call.write(garbage)
    error = await Stream(call).error()
    assert (error.code(), reason_of(error)) == (grpc.StatusCode.INVALID_ARGUMENT, "MALFORMED_MESSAGE")
    with pytest.raises(grpc.aio.AioRpcError) as unary:
        await suite.channel.unary_unary(RECORD)(garbage, metadata=person.metadata)
    assert reason_of(unary.value) == "MALFORMED_MESSAGE"


@pytest.mark.usefixtures("bystander")
async def test_garbage_in_mid_stream_keeps_what_came_before(suite: Suite) -> None:
    person = suite.person()
    session_id = await person.start_session()
    call = suite.channel.stream_stream(STREAM)(metadata=person.metadata, timeout=PATIENCE_SECONDS)
    opening = ingest_pb2.StreamPredictionsRequest(open=ingest_pb2.OpenStream(session_id=str(session_id)))
    batch = ingest_pb2.StreamPredictionsRequest(batch=make.batch(1, make.chunk()))
    before = await suite.count("text_predictions")
    for message in (opening.SerializeToString(), batch.SerializeToString(), b"\xff" * 50):
        await call.write(message)
    error = await Stream(call).error()
    assert (error.code(), reason_of(error)) == (grpc.StatusCode.INVALID_ARGUMENT, "MALFORMED_MESSAGE")
    assert await suite.count("text_predictions") == before + 1


@pytest.mark.usefixtures("bystander")
async def test_what_the_contract_doesnt_know_is_not_kept(suite: Suite) -> None:
    """An unknown field could hold anything, also what was said: it must not travel on in the feed."""
    person = suite.person()
    session_id = await person.start_session()
    secret = b"what was said"
    unknown = struct.pack("BB", 0x7A, len(secret)) + secret  # field 15, of the batch
    batch = make.batch(1, make.chunk()).SerializeToString() + unknown
    request = ingest_pb2.RecordPredictionsRequest.FromString(
        ingest_pb2.RecordPredictionsRequest(session_id=str(session_id)).SerializeToString()
        + b"\x12"
        + bytes((len(batch) & 0x7F | 0x80, len(batch) >> 7))
        + batch
    )
    await person.stub.RecordPredictions(request, metadata=person.metadata)
    async with suite.database.read() as tx:
        payloads = [row.payload for row in await tx.fetch_all("SELECT payload FROM outbox")]
    assert not any(secret in payload for payload in payloads)


async def test_a_stream_that_never_sends(make_database: MakeDatabase) -> None:
    async with running(make_database("ingest"), stream_idle_seconds=0.2) as suite:
        person = suite.person()
        session_id = await person.start_session()
        idle = await person.stream(session_id)
        error = await idle.error()
        assert (error.code(), reason_of(error)) == (grpc.StatusCode.DEADLINE_EXCEEDED, "STREAM_IDLE")
        assert (await person.record(session_id, make.batch(1, make.chunk()))).accepted == 3


async def test_a_stream_that_never_opens(make_database: MakeDatabase) -> None:
    async with running(make_database("ingest"), stream_idle_seconds=0.2) as suite:
        stream = Stream(suite.stub.StreamPredictions(metadata=suite.person().metadata, timeout=PATIENCE_SECONDS))
        error = await stream.error()
        assert (error.code(), reason_of(error)) == (grpc.StatusCode.DEADLINE_EXCEEDED, "STREAM_IDLE")


@pytest.mark.usefixtures("bystander")
async def test_more_streams_than_the_service_carries(make_database: MakeDatabase) -> None:
    async with running(make_database("ingest"), max_streams=3) as suite:
        person = suite.person()
        session_id = await person.start_session()
        streams = [await person.stream(session_id) for _ in range(3)]
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await person.stream(session_id)
        assert error.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert reason_of(error.value)
        await streams[0].send(1, make.chunk())
        await streams[0].acknowledged(1)


@pytest.mark.usefixtures("bystander")
async def test_hundreds_of_connections(suite: Suite) -> None:
    person = suite.person()
    session_id = await person.start_session()

    async def connect() -> None:
        options = (("grpc.use_local_subchannel_pool", 1),)
        async with grpc.aio.insecure_channel(suite.address, options=options) as channel:
            call = channel.stream_stream(
                STREAM,
                request_serializer=ingest_pb2.StreamPredictionsRequest.SerializeToString,
                response_deserializer=ingest_pb2.StreamPredictionsResponse.FromString,
            )(metadata=person.metadata, timeout=PATIENCE_SECONDS)
            stream = Stream(call)
            await stream.open(session_id)
            await stream.send(1, [make.vision()])
            await stream.acknowledged(1)

    before = await suite.count("vision_predictions")
    await asyncio.gather(*(connect() for _ in range(200)))
    assert await suite.count("vision_predictions") == before + 200
