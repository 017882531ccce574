"""StreamPredictions over a real channel: what is acknowledged is stored, once."""

import asyncio

import grpc
import pytest

from libs.common.rpc.errors import reason_of
from quietus.ingest.v1 import ingest_pb2
from quietus_edge.ids import uuid7
from tests.ingest import make
from tests.ingest.suite import Stream, Suite

TABLES = ("vision_predictions", "audio_predictions", "text_predictions")


async def test_batches_are_stored_and_acknowledged(suite: Suite) -> None:
    person = suite.person()
    stream = await person.stream(await person.start_session())
    for number in (1, 2, 3):
        await stream.send(number, make.chunk())
    assert await stream.acknowledged(3) == []
    assert [await suite.count(table) for table in TABLES] == [3, 3, 3]
    await stream.call.done_writing()
    assert await stream.call.code() == grpc.StatusCode.OK


async def test_the_same_again_is_a_duplicate_and_stored_once(suite: Suite) -> None:
    person = suite.person()
    session_id = await person.start_session()
    chunk = make.chunk()
    first = await person.stream(session_id)
    await first.send(7, chunk)
    await first.acknowledged(7)
    second = await person.stream(session_id)
    await second.send(7, [*chunk, make.vision()])
    [outcome] = await second.acknowledged(7)
    assert (outcome.batch_number, outcome.accepted, outcome.duplicates) == (7, 1, 3)
    assert [await suite.count(table) for table in TABLES] == [2, 1, 1]


async def test_other_content_is_a_conflict_and_the_first_stays(suite: Suite) -> None:
    person = suite.person()
    session_id = await person.start_session()
    stream = await person.stream(session_id)
    first = make.vision()
    await stream.send(1, [first])
    await stream.acknowledged(1)
    other = make.vision(first.chunk_id)
    other.CopyFrom(first)
    other.vision.distress_score = 0.9
    await stream.send(2, [make.audio(), other])
    [outcome] = await stream.acknowledged(2)
    assert outcome.accepted == 1
    assert outcome.refusals == [ingest_pb2.Refusal(index=1, field="vision", reason=ingest_pb2.REFUSAL_REASON_CONFLICT)]
    request = ingest_pb2.ListPredictionsRequest(session_id=str(session_id), modality=1)
    listed = await person.stub.ListPredictions(request, metadata=person.metadata)
    assert [stored.prediction for stored in listed.predictions] == [first]


@pytest.mark.parametrize("together", [True, False])
async def test_the_first_interval_of_a_chunk_stands(suite: Suite, together: bool) -> None:
    person = suite.person()
    stream = await person.stream(await person.start_session())
    start = make.now()
    vision = make.vision(start=start)
    audio = make.audio(vision.chunk_id, start=start + make.CHUNK)
    for number, predictions in enumerate([[vision, audio]] if together else [[vision], [audio]], start=1):
        await stream.send(number, predictions)
    outcomes = await stream.acknowledged(1 if together else 2)
    [refusal] = [refusal for outcome in outcomes for refusal in outcome.refusals]
    assert refusal.reason == ingest_pb2.REFUSAL_REASON_CHUNK_INTERVAL_CONFLICT
    assert await suite.count("audio_predictions") == 0


async def test_a_late_modality_of_the_same_interval_is_welcome(suite: Suite) -> None:
    person = suite.person()
    stream = await person.stream(await person.start_session())
    start, chunk_id = make.now(), uuid7()
    for number, prediction in enumerate((make.vision, make.audio, make.text), start=1):
        await stream.send(number, [prediction(chunk_id, start)])
        await stream.acknowledged(number)
    assert [await suite.count(table) for table in TABLES] == [1, 1, 1]


async def test_a_refused_prediction_doesnt_refuse_its_batch(suite: Suite) -> None:
    person = suite.person()
    stream = await person.stream(await person.start_session())
    await stream.send(1, [make.vision(), make.vision(confidence=1.5), make.prediction(), make.audio()])
    [outcome] = await stream.acknowledged(1)
    assert outcome.accepted == 2
    assert [(refusal.index, refusal.field) for refusal in outcome.refusals] == [
        (1, "vision.confidence"),
        (2, "modality"),
    ]


async def test_many_streams_at_once(suite: Suite) -> None:
    async def one_person() -> None:
        person = suite.person()
        stream = await person.stream(await person.start_session())
        for number in range(1, 11):
            await stream.send(number, make.chunk())
        await stream.acknowledged(10)

    await asyncio.gather(*(one_person() for _ in range(10)))
    assert [await suite.count(table) for table in TABLES] == [100, 100, 100]
    assert await suite.count("outbox") < 110  # 10 session starts, and fewer groups than batches


@pytest.mark.parametrize(
    ("requests", "reason"),
    [
        ([ingest_pb2.StreamPredictionsRequest(batch=make.batch(1, [make.vision()]))], "STREAM_NOT_OPENED"),
        ([ingest_pb2.StreamPredictionsRequest()], "STREAM_NOT_OPENED"),
        (
            [ingest_pb2.StreamPredictionsRequest(open=ingest_pb2.OpenStream(session_id="no uuid"))],
            "INVALID_FIELD",
        ),
    ],
)
async def test_streams_that_open_badly(
    suite: Suite, requests: list[ingest_pb2.StreamPredictionsRequest], reason: str
) -> None:
    person = suite.person()
    call = suite.stub.StreamPredictions(iter(requests), metadata=person.metadata)
    error = await Stream(call).error()
    assert (error.code(), reason_of(error)) == (grpc.StatusCode.INVALID_ARGUMENT, reason)


@pytest.mark.parametrize(
    ("numbers_and_sizes", "reason"),
    [
        ([(1, 1), (1, 1)], "BATCH_NUMBER_NOT_GROWING"),
        ([(1, 1), (0, 1)], "BATCH_NUMBER_NOT_GROWING"),
        ([(1, 1), (2, 0)], "BATCH_EMPTY"),
        ([(1, 1), (2, 5001)], "BATCH_TOO_LARGE"),
    ],
)
async def test_streams_that_go_on_badly_keep_what_they_sent_before(
    suite: Suite, numbers_and_sizes: list[tuple[int, int]], reason: str
) -> None:
    person = suite.person()
    stream = await person.stream(await person.start_session())
    for number, size in numbers_and_sizes:
        await stream.send(number, [make.vision()] * size)
    error = await stream.error()
    assert (error.code(), reason_of(error)) == (grpc.StatusCode.INVALID_ARGUMENT, reason)
    assert await suite.count("vision_predictions") == 1


async def test_opening_twice(suite: Suite) -> None:
    person = suite.person()
    session_id = await person.start_session()
    stream = await person.stream(session_id)
    again = ingest_pb2.OpenStream(session_id=str(session_id))
    await stream.call.write(ingest_pb2.StreamPredictionsRequest(open=again))
    assert reason_of(await stream.error()) == "STREAM_ALREADY_OPENED"


async def test_a_drain_acknowledges_and_ends_with_ok(suite: Suite) -> None:
    person = suite.person()
    stream = await person.stream(await person.start_session())
    await stream.send(1, make.chunk())
    await stream.acknowledged(1)
    draining = asyncio.create_task(suite.server.drain(5))
    assert (await stream.read()).HasField("drain")
    assert await stream.call.read() is grpc.aio.EOF
    assert await stream.call.code() == grpc.StatusCode.OK
    await draining


async def test_record_predictions_follows_the_same_rules(suite: Suite) -> None:
    person = suite.person()
    session_id = await person.start_session()
    batch = make.batch(3, [*make.chunk(), make.vision(confidence=2)])
    outcome = await person.record(session_id, batch)
    assert (outcome.batch_number, outcome.accepted, outcome.duplicates, len(outcome.refusals)) == (3, 3, 0, 1)
    outcome = await person.record(session_id, batch)
    assert (outcome.accepted, outcome.duplicates, len(outcome.refusals)) == (0, 3, 1)
