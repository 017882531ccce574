"""Voice sessions over a real channel, on the feed, and how they go."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from libs.common.db.audit import verify_chain
from libs.common.observability.metrics import Metrics
from libs.common.timestamps import to_datetime, to_timestamp
from quietus.common.v1.types_pb2 import EMOTION_HOPELESS, EMOTION_NUMB
from quietus.ingest.v1 import voice_pb2
from quietus.ingest.v1.predictions_pb2 import (
    TRANSCRIPT_STATE_NO_KEY,
    TRANSCRIPT_STATE_NOT_KEPT,
    TRANSCRIPT_STATE_SEALED,
)
from quietus.ingest.v1.voice_pb2_grpc import VoiceServiceStub
from services.ingest.cleaning import VoiceCleaner
from tests.conftest import MakeDatabase
from tests.ingest import make
from tests.ingest.records import (
    ANSWER_MAX_BYTES,
    LONGEST,
    MANY,
    WORDS,
    care_for,
    give_key,
    opened,
    refusal,
    sealed_for,
    written,
)
from tests.ingest.suite import Person, Suite, running, service_token
from tests.ingest.test_store import backfilled, of_person, told

TABLE = "voice_sessions"
FEATURES = voice_pb2.VoiceSessionFeatures(
    prosodic=voice_pb2.ProsodicFeatures(pitch_mean=181.1, energy_mean=0.0, prosody_variance=12.3),
    spectral=voice_pb2.SpectralFeatures(centroid=1500.7, zero_crossing_rate=0.1),
    temporal=voice_pb2.TemporalFeatures(speech_rate=3.3, pause_ratio=0.25),
)


@pytest.fixture
async def thin_suite(make_database: MakeDatabase) -> AsyncIterator[Suite]:
    """A deployment that takes plain words."""
    async with running(make_database("ingest"), allow_plaintext=True) as suite:
        yield suite


def request_for(start: datetime | None = None, **fields: object) -> voice_pb2.RecordVoiceSessionRequest:
    start = start or make.now() - timedelta(minutes=5)
    request = voice_pb2.RecordVoiceSessionRequest(
        voice_session_id=str(uuid4()),
        start_time=to_timestamp(start),
        end_time=to_timestamp(start + timedelta(seconds=90, milliseconds=700)),
        emotion=EMOTION_HOPELESS,
        confidence=0.75004,
        features=FEATURES,
        language="sw-KE",
        model_version="voice-1",
    )
    request.MergeFrom(voice_pb2.RecordVoiceSessionRequest(**fields))
    return request


async def record(suite: Suite, person: Person, request: voice_pb2.RecordVoiceSessionRequest) -> voice_pb2.VoiceSession:
    stub = VoiceServiceStub(suite.channel)
    return (await stub.RecordVoiceSession(request, metadata=person.metadata)).session


async def get(suite: Suite, person: Person, session_id: str) -> voice_pb2.VoiceSession:
    request = voice_pb2.GetVoiceSessionRequest(voice_session_id=session_id)
    return (await VoiceServiceStub(suite.channel).GetVoiceSession(request, metadata=person.metadata)).session


async def listed(suite: Suite, person: Person, anonymous_id: str = "") -> list[str]:
    """All pages, by id."""
    stub = VoiceServiceStub(suite.channel)
    request, found = voice_pb2.ListVoiceSessionsRequest(page_size=2, anonymous_id=anonymous_id), []
    while not found or request.page_token:
        response = await stub.ListVoiceSessions(request, metadata=person.metadata)
        assert 0 < len(response.sessions) <= 2
        found += [session.voice_session_id for session in response.sessions]
        request.page_token = response.next_page_token
    return found


async def mark(suite: Suite, *session_ids: str) -> int:
    stub, request = (
        VoiceServiceStub(suite.channel),
        voice_pb2.MarkPatternsExtractedRequest(voice_session_ids=session_ids),
    )
    return (await stub.MarkPatternsExtracted(request, metadata=service_token("patterns"))).marked


async def test_a_voice_session_is_kept_as_it_came(suite: Suite) -> None:
    person, request = suite.person(), request_for()
    request.sealed_transcript = sealed_for(person, TABLE, request.voice_session_id)
    session = await record(suite, person, request)
    assert session == await get(suite, person, request.voice_session_id)
    assert session.features == FEATURES
    assert session.features.prosodic.HasField("energy_mean")
    assert not session.features.prosodic.HasField("pitch_std")
    assert session.confidence == 0.75
    assert (session.emotion, session.language, session.model_version) == (EMOTION_HOPELESS, "sw-KE", "voice-1")
    assert (session.start_time, session.end_time) == (request.start_time, request.end_time)
    assert session.transcript_state == TRANSCRIPT_STATE_SEALED
    assert opened(session.sealed_transcript, person, TABLE, request.voice_session_id) == WORDS
    assert (session.processed, session.patterns_extracted) == (False, False)
    assert to_datetime(session.delete_time) - to_datetime(session.create_time) == timedelta(days=7)
    async with suite.database.read() as tx:
        row = await tx.fetch_one(f"SELECT * FROM {TABLE}")  # noqa: S608 - a table of ours
    assert (row.duration_seconds, row.voice_emotion) == (90, "hopeless")
    assert set(row.voice_features) == {"prosodic", "spectral", "temporal"}


async def test_a_page_of_the_longest_words_is_an_answer_that_clients_take(suite: Suite) -> None:
    person = suite.person()
    recorded = [
        (await record(suite, person, request_for(sealed_transcript=LONGEST))).voice_session_id for _ in range(MANY)
    ]
    stub, request, found = VoiceServiceStub(suite.channel), voice_pb2.ListVoiceSessionsRequest(page_size=200), []
    while not found or request.page_token:
        response = await stub.ListVoiceSessions(request, metadata=person.metadata)
        assert response.ByteSize() < ANSWER_MAX_BYTES
        found += [session.voice_session_id for session in response.sessions]
        request.page_token = response.next_page_token
    assert found == recorded[::-1]


async def test_the_same_content_again_gives_the_first_answer_and_is_told_once(suite: Suite) -> None:
    person, request = suite.person(), request_for()
    first = await record(suite, person, request)
    assert await record(suite, person, request) == first
    assert [await suite.count(table) for table in (TABLE, "outbox", "audit_logs")] == [1, 1, 1]
    async with suite.database.read() as tx:
        assert await verify_chain(tx) == 1


HOUR, DAY = timedelta(hours=1), timedelta(days=1)
CHANGES = [
    {"start_time": -HOUR},
    {"end_time": HOUR},
    {"emotion": EMOTION_NUMB},
    {"confidence": 0.2},
    {"features": voice_pb2.VoiceSessionFeatures(temporal=voice_pb2.TemporalFeatures(pause_ratio=0.26))},
    {"language": "en"},
    {"model_version": "voice-2"},
    {"transcript_state": TRANSCRIPT_STATE_NO_KEY},
    {"sealed_transcript": b"\x00\x01k" + bytes(48)},
]


@pytest.mark.parametrize("changed", CHANGES, ids=lambda changed: next(iter(changed)))
async def test_an_id_that_is_taken_by_other_content(suite: Suite, changed: dict) -> None:
    person, request = suite.person(), request_for()
    await record(suite, person, request)
    request.MergeFrom(voice_pb2.RecordVoiceSessionRequest(**make.from_now(changed)))
    assert await refusal(record(suite, person, request)) == ("ALREADY_EXISTS", "VOICE_SESSION_EXISTS", [])
    assert await suite.count(TABLE) == 1


async def test_an_id_of_somebody_else_tells_nothing(suite: Suite) -> None:
    request, other = request_for(), suite.person()
    await record(suite, suite.person(), request)
    assert await refusal(record(suite, other, request)) == ("ALREADY_EXISTS", "VOICE_SESSION_EXISTS", [])
    call = get(suite, other, request.voice_session_id)
    assert await refusal(call) == ("NOT_FOUND", "VOICE_SESSION_NOT_FOUND", [])


async def test_what_was_not_measured_stays_unset(suite: Suite) -> None:
    for features in (None, voice_pb2.VoiceSessionFeatures(prosodic=voice_pb2.ProsodicFeatures())):
        person, request = suite.person(), request_for()
        request.ClearField("features")
        request.MergeFrom(voice_pb2.RecordVoiceSessionRequest(features=features))
        request.ClearField("language")
        session = await record(suite, person, request)
        assert not session.HasField("features")
        assert session.language == ""
        assert (session.transcript_state, session.sealed_transcript) == (TRANSCRIPT_STATE_NOT_KEPT, b"")


async def test_plain_words_are_sealed_where_they_are_allowed_and_nowhere_else(suite: Suite, thin_suite: Suite) -> None:
    call = record(suite, suite.person(), request_for(transcript=WORDS))
    assert await refusal(call) == ("FAILED_PRECONDITION", "PLAINTEXT_NOT_ALLOWED", ["transcript"])
    person, request = thin_suite.person(), request_for(transcript=WORDS)
    await give_key(thin_suite, person)
    session = await record(thin_suite, person, request)
    assert opened(session.sealed_transcript, person, TABLE, request.voice_session_id) == WORDS
    assert WORDS not in await written(thin_suite)


BAD_FIELDS = [
    ("voice_session_id", {"voice_session_id": "no-uuid"}),
    ("end_time", {"end_time": -DAY}),
    ("end_time", {"start_time": -2 * DAY}),
    ("end_time", {"start_time": DAY, "end_time": 1.1 * DAY}),
    ("emotion", {"emotion": 11}),
    ("confidence", {"confidence": 1.1}),
    ("confidence", {"confidence": float("inf")}),
    ("language", {"language": "not a tag"}),
    ("language", {"language": "abc-defghijk"}),
    ("model_version", {"model_version": "x" * 65}),
    ("transcript_state", {"transcript_state": TRANSCRIPT_STATE_SEALED}),
    ("sealed_transcript", {"sealed_transcript": b"words that were not sealed at all, only sent as they were said"}),
]
FEATURE_FIELDS = [
    (group.name, feature.name)
    for group in voice_pb2.VoiceSessionFeatures.DESCRIPTOR.fields
    for feature in group.message_type.fields
]


@pytest.mark.parametrize(("field", "wrong"), BAD_FIELDS)
async def test_bad_input_names_its_field(suite: Suite, field: str, wrong: dict) -> None:
    person = suite.person()
    request = request_for(**make.from_now(wrong))
    assert await refusal(record(suite, person, request)) == ("INVALID_ARGUMENT", "INVALID_FIELD", [field])
    assert await suite.count(TABLE) == 0


@pytest.mark.parametrize(("group", "feature"), FEATURE_FIELDS)
async def test_every_feature_has_bounds(suite: Suite, group: str, feature: str) -> None:
    for value in (-0.1, 1e9, float("nan")):
        request = request_for()
        setattr(getattr(request.features, group), feature, value)
        call = record(suite, suite.person(), request)
        assert await refusal(call) == ("INVALID_ARGUMENT", "INVALID_FIELD", [f"features.{group}.{feature}"])


@pytest.mark.parametrize("field", ["voice_session_id", "start_time", "end_time", "emotion", "model_version"])
async def test_what_is_required(suite: Suite, field: str) -> None:
    request = request_for()
    request.ClearField(field)
    assert await refusal(record(suite, suite.person(), request)) == ("INVALID_ARGUMENT", "INVALID_FIELD", [field])


async def test_lists_are_newest_first(suite: Suite) -> None:
    person, now = suite.person(), make.now()
    ids = {}
    for hours in (3, 1, 4, 2):
        request = request_for(now - timedelta(hours=hours))
        ids[hours] = (await record(suite, person, request)).voice_session_id
    await record(suite, suite.person(), request_for())
    assert await listed(suite, person) == [ids[hours] for hours in (1, 2, 3, 4)]


async def test_counselors_read_people_in_care_alone_and_are_audited(suite: Suite) -> None:
    person, counselor, request = suite.person(), suite.counselor(), request_for()
    await record(suite, person, request)
    assert (await refusal(get(suite, counselor, request.voice_session_id)))[1] == "VOICE_SESSION_NOT_FOUND"
    assert (await refusal(listed(suite, counselor, person.anonymous_id)))[1] == "NOT_YOUR_PERSON"
    await care_for(suite, counselor, person)
    audited = await suite.count("audit_logs")
    await get(suite, counselor, request.voice_session_id)
    assert await listed(suite, counselor, person.anonymous_id) == [request.voice_session_id]
    assert await suite.count("audit_logs") == audited + 2
    assert (await refusal(record(suite, counselor, request_for())))[1] == "ROLE_NOT_ALLOWED"


async def test_the_feed_tells_what_was_heard_and_never_what_was_said(suite: Suite) -> None:
    person, request = suite.person(), request_for()
    request.sealed_transcript = sealed_for(person, TABLE, request.voice_session_id)
    session = await record(suite, person, request)
    (event,) = await told(suite)
    recorded = event.voice_session_recorded
    assert (recorded.user_id, recorded.anonymous_id) == (str(person.user_id), person.anonymous_id)
    assert recorded.voice_session_id == request.voice_session_id
    assert (recorded.emotion, recorded.confidence, recorded.language) == (EMOTION_HOPELESS, 0.75, "sw-KE")
    assert (recorded.features, recorded.receive_time) == (FEATURES, session.create_time)
    assert (recorded.start_time, recorded.end_time, recorded.model_version) == (
        request.start_time,
        request.end_time,
        "voice-1",
    )
    assert request.sealed_transcript not in event.SerializeToString()


async def test_a_backfill_tells_voice_sessions_among_the_rest(suite: Suite) -> None:
    people = [suite.person(), suite.person()]
    for person in people:
        await record(suite, person, request_for())
        session_id = await person.start_session()
        await record(suite, person, request_for())
        await person.record(session_id, make.batch(1, make.chunk()))
        await record(suite, person, request_for())
        await person.end_session(session_id)
    only_spoke = suite.person()
    await record(suite, only_spoke, request_for())
    events, again = await told(suite), await backfilled(suite)
    assert len(again) == len(events) == 13
    for person in (*people, only_spoke):
        assert of_person(again, person) == of_person(events, person)


async def test_services_say_what_was_learned_from(suite: Suite) -> None:
    person, other = suite.person(), suite.person()
    ids = [(await record(suite, one, request_for())).voice_session_id for one in (person, person, other)]
    audited = await suite.count("audit_logs")
    assert await mark(suite, *ids, ids[0], str(uuid4())) == 3
    assert await suite.count("audit_logs") == audited + 2
    assert await mark(suite, *ids) == 0
    session = await get(suite, person, ids[0])
    assert (session.processed, session.patterns_extracted) == (True, True)
    async with suite.database.read() as tx:
        actor = await tx.scalar("SELECT actor FROM audit_logs WHERE action = 'voice_session.mark_extracted' LIMIT 1")
        assert await verify_chain(tx) == audited + 2
    assert actor == "service:patterns"


async def test_only_services_say_it_and_never_too_much_at_once(suite: Suite) -> None:
    person, stub = suite.person(), VoiceServiceStub(suite.channel)
    request = voice_pb2.MarkPatternsExtractedRequest(voice_session_ids=[str(uuid4())])
    for caller in (person, suite.counselor()):
        call = stub.MarkPatternsExtracted(request, metadata=caller.metadata)
        assert (await refusal(call))[:2] == ("PERMISSION_DENIED", "ROLE_NOT_ALLOWED")
    for ids, field in (
        ([], "voice_session_ids"),
        ([str(uuid4())] * 201, "voice_session_ids"),
        ([str(uuid4()), "no-uuid"], "voice_session_ids[1]"),
    ):
        request = voice_pb2.MarkPatternsExtractedRequest(voice_session_ids=ids)
        call = stub.MarkPatternsExtracted(request, metadata=service_token("patterns"))
        assert await refusal(call) == ("INVALID_ARGUMENT", "INVALID_FIELD", [field])


def cleaner(suite: Suite, metrics: Metrics, *, days: float, batch: int = 2) -> VoiceCleaner:
    """In so many days."""
    return VoiceCleaner(suite.database, metrics, lambda: datetime.now(UTC) + timedelta(days=days), batch)


async def test_only_what_was_learned_from_goes_and_only_when_its_time_is_over(suite: Suite) -> None:
    person, metrics = suite.person(), Metrics("ingest")
    ids = [(await record(suite, person, request_for())).voice_session_id for _ in range(7)]
    await mark(suite, *ids[:5])
    assert await cleaner(suite, metrics, days=6.9).clean() == 0
    assert metrics.voice_sessions_overdue._value.get() == 0
    assert await suite.count(TABLE) == 7
    audited = await suite.count("audit_logs")
    assert await cleaner(suite, metrics, days=7.1).clean() == 5
    assert set(await listed(suite, person)) == set(ids[5:])
    assert await suite.count("audit_logs") == audited + 3  # batches of 2, 2 and 1
    assert metrics.voice_sessions_overdue._value.get() == 2
    assert await cleaner(suite, metrics, days=7.1).clean() == 0
    async with suite.database.read() as tx:
        assert await verify_chain(tx) == audited + 3


async def test_retention_is_a_setting(make_database: MakeDatabase) -> None:
    async with running(make_database("ingest"), voice_retention_days=1) as suite:
        session = await record(suite, suite.person(), request_for())
        assert to_datetime(session.delete_time) - to_datetime(session.create_time) == timedelta(days=1)


async def test_a_person_who_goes_takes_voice_sessions_along(suite: Suite) -> None:
    person = suite.person()
    await record(suite, person, request_for())
    await suite.execute("DELETE FROM users WHERE user_id = :user_id", {"user_id": person.user_id})
    assert await suite.count(TABLE) == 0
