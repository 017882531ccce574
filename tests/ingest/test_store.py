"""What the tables hold, and what the feed tells of it."""

import asyncio

import numpy as np

from libs.common.db.partitions import ensure_partitions
from quietus.common.v1.feed_pb2 import BackfillRequest, FeedPayload
from quietus.common.v1.feed_pb2_grpc import FeedServiceStub
from quietus.ingest.v1 import ingest_pb2
from quietus.ingest.v1.events_pb2 import Event
from services.ingest.content.digest import content_digests
from services.ingest.reading import read
from services.ingest.store.predictions import LOOK_UP
from tests.ingest import make
from tests.ingest.suite import Person, Suite, service_token


async def told(suite: Suite) -> list[Event]:
    async with suite.database.read() as tx:
        rows = await tx.fetch_all("SELECT payload FROM outbox ORDER BY position")
    return [Event.FromString(event) for row in rows for event in FeedPayload.FromString(row.payload).events]


async def backfilled(suite: Suite) -> list[Event]:
    stub, metadata = FeedServiceStub(suite.channel), service_token()
    events: list[Event] = []
    async for response in stub.Backfill(BackfillRequest(follower="fusion", partition=0), metadata=metadata):
        events.extend(Event.FromString(event) for event in FeedPayload.FromString(response.payload).events)
    return events


def of_person(events: list[Event], person: Person) -> list[Event]:
    return [event for event in events if str(person.user_id) in str(event)]


async def test_the_feed_tells_whole_batches_as_they_came(suite: Suite) -> None:
    person = suite.person()
    session_id = await person.start_session()
    batch = make.batch(1, make.chunk())
    await person.record(session_id, batch)
    committed = (await told(suite))[-1].predictions_committed
    assert committed.batch == batch
    assert committed.user_id == str(person.user_id)
    assert committed.anonymous_id == person.anonymous_id
    assert committed.session_id == str(session_id)
    assert committed.HasField("receive_time")


async def test_the_feed_tells_only_what_was_accepted_and_normalised(suite: Suite) -> None:
    person = suite.person()
    session_id = await person.start_session()
    kept = make.vision(confidence=0.123456)
    duplicate = make.audio()
    await person.record(session_id, make.batch(1, [duplicate]))
    await person.record(session_id, make.batch(2, [make.vision(confidence=3), duplicate, kept]))
    committed = (await told(suite))[-1].predictions_committed
    kept.vision.confidence = 0.1235
    assert list(committed.batch.predictions) == [kept]
    assert committed.batch.batch_number == 2


async def test_a_batch_without_anything_new_is_not_told(suite: Suite) -> None:
    person = suite.person()
    session_id = await person.start_session()
    batch = make.batch(1, make.chunk())
    await person.record(session_id, batch)
    events = await told(suite)
    await person.record(session_id, batch)
    await person.record(session_id, make.batch(2, [make.prediction()]))
    assert await told(suite) == events


async def test_stored_rows_say_what_was_digested(suite: Suite) -> None:
    person = suite.person()
    session_id = await person.start_session()
    sent = [*make.chunk(), make.vision(confidence=0.0), make.vision(confidence=1.0)]
    bare_text = make.text()
    bare_text.text.ClearField("cues")
    bare_text.text.ClearField("valence")
    await person.record(session_id, make.batch(1, [*sent, bare_text]))
    for modality in (1, 2, 3):
        request = ingest_pb2.ListPredictionsRequest(session_id=str(session_id), modality=modality)
        for stored in (await person.stub.ListPredictions(request, metadata=person.metadata)).predictions:
            content = read([stored.prediction], np.array([0]), np.array([2**62]))
            digests = content_digests(content.modalities, content.chunks, content.contents)
            assert digests == [stored.content_digest]


async def test_a_backfill_tells_each_person_the_same_in_the_same_order(suite: Suite) -> None:
    people = [suite.person() for _ in range(3)]
    for person in people:
        first = await person.start_session()
        await person.record(first, make.batch(1, [*make.chunk(), *make.chunk()]))
        second = await person.start_session()
        await person.record(second, make.batch(1, make.chunk()))
        await person.record(first, make.batch(2, [make.vision(), make.vision(confidence=7)]))
        await person.end_session(first)
    events, again = await told(suite), await backfilled(suite)
    assert len(again) == len(events)
    for person in people:
        assert of_person(again, person) == of_person(events, person)


async def test_look_ups_of_chunks_use_the_unique_key(suite: Suite) -> None:
    statement = "EXPLAIN " + LOOK_UP
    for parameter in range(1, 7):
        statement = statement.replace(f"${parameter}::", "ARRAY['018f0000-0000-7000-8000-000000000001']::")
    async with suite.database.read() as tx:
        plan = "\n".join(row[0] for row in await tx.driver.fetch(statement))
    assert "Seq Scan" not in plan
    assert plan.count("Index Scan") == 3


async def test_a_month_that_is_made_while_a_batch_waits_takes_it(suite: Suite) -> None:
    person = suite.person()
    session_id = await person.start_session()
    async with suite.database.transaction() as tx:
        await ensure_partitions(tx, make.now().date().replace(day=1), 1)
        recording = asyncio.create_task(person.record(session_id, make.batch(1, make.chunk())))
        while not await tx.scalar("SELECT count(*) FROM pg_sleep(0.01), pg_locks WHERE NOT granted"):
            pass
    assert (await recording).accepted == 3
    month = f"'vision_predictions_{make.now():%Y%m}'::regclass"
    assert await suite.count(f"vision_predictions WHERE tableoid = {month}") == 1
