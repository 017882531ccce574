"""Analyses of single texts over a real channel."""

from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import uuid4

import pytest

from libs.common.db.audit import verify_chain
from libs.common.timestamps import to_datetime, to_timestamp
from quietus.common.v1.options_pb2 import ROLE_USER
from quietus.ingest.v1 import analysis_pb2
from quietus.ingest.v1.analysis_pb2_grpc import AnalysisServiceStub
from quietus.ingest.v1.predictions_pb2 import (
    TRANSCRIPT_STATE_NO_KEY,
    TRANSCRIPT_STATE_NOT_KEPT,
    TRANSCRIPT_STATE_SEALED,
)
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

TABLE = "analysis_records"


@pytest.fixture
async def thin_suite(make_database: MakeDatabase) -> AsyncIterator[Suite]:
    """A deployment that takes plain words."""
    async with running(make_database("ingest"), allow_plaintext=True) as suite:
        yield suite


def request_for(**fields: object) -> analysis_pb2.RecordAnalysisRequest:
    now = make.now()
    request = analysis_pb2.RecordAnalysisRequest(
        request_id=str(uuid4()),
        source="check_in",
        predicted_label="low_mood",
        confidence=0.12345,
        model_version="text-1",
        processing_milliseconds=12,
        submit_time=to_timestamp(now),
        analyze_time=to_timestamp(now + timedelta(milliseconds=12)),
    )
    request.MergeFrom(analysis_pb2.RecordAnalysisRequest(**fields))
    return request


async def record(suite: Suite, person: Person, request: analysis_pb2.RecordAnalysisRequest) -> analysis_pb2.Analysis:
    stub = AnalysisServiceStub(suite.channel)
    return (await stub.RecordAnalysis(request, metadata=person.metadata)).analysis


async def get(suite: Suite, person: Person, request_id: str) -> analysis_pb2.Analysis:
    request = analysis_pb2.GetAnalysisRequest(request_id=request_id)
    return (await AnalysisServiceStub(suite.channel).GetAnalysis(request, metadata=person.metadata)).analysis


async def listed(suite: Suite, person: Person, **fields: object) -> list[str]:
    """All pages, by request_id."""
    stub, request = AnalysisServiceStub(suite.channel), analysis_pb2.ListAnalysesRequest(page_size=2, **fields)
    found: list[str] = []
    while not found or request.page_token:
        response = await stub.ListAnalyses(request, metadata=person.metadata)
        assert len(response.analyses) <= 2
        found += [analysis.request_id for analysis in response.analyses] or [""]
        request.page_token = response.next_page_token
    return found


async def test_an_analysis_is_kept_as_it_came(suite: Suite) -> None:
    person = suite.person()
    request = request_for()
    request.sealed_input_text = sealed_for(person, TABLE, request.request_id)
    analysis = await record(suite, person, request)
    assert analysis == await get(suite, person, request.request_id)
    assert analysis.input_text_state == TRANSCRIPT_STATE_SEALED
    assert opened(analysis.sealed_input_text, person, TABLE, request.request_id) == WORDS
    assert analysis.confidence == 0.1234  # half to even
    for field in ("source", "predicted_label", "model_version", "processing_milliseconds", "submit_time"):
        assert getattr(analysis, field) == getattr(request, field)
    assert analysis.anonymous_id == person.anonymous_id


async def test_the_same_content_again_gives_the_first_answer(suite: Suite) -> None:
    person = suite.person()
    request = request_for()
    request.sealed_input_text = sealed_for(person, TABLE, request.request_id)
    first = await record(suite, person, request)
    request.input_text_state = TRANSCRIPT_STATE_SEALED
    request.confidence = 0.12341  # what is kept is the same
    assert await record(suite, person, request) == first
    assert await suite.count(TABLE) == 1
    assert await suite.count("audit_logs") == 1
    async with suite.database.read() as tx:
        assert await verify_chain(tx) == 1


async def test_a_page_of_the_longest_words_is_an_answer_that_clients_take(suite: Suite) -> None:
    person = suite.person()
    recorded = [(await record(suite, person, request_for(sealed_input_text=LONGEST))).request_id for _ in range(MANY)]
    stub, request, found = AnalysisServiceStub(suite.channel), analysis_pb2.ListAnalysesRequest(page_size=200), []
    while not found or request.page_token:
        response = await stub.ListAnalyses(request, metadata=person.metadata)
        assert response.ByteSize() < ANSWER_MAX_BYTES
        found += [analysis.request_id for analysis in response.analyses]
        request.page_token = response.next_page_token
    assert found == recorded[::-1]


@pytest.mark.parametrize(
    "changed",
    [
        {"source": "journal"},
        {"predicted_label": "calm"},
        {"confidence": 0.2},
        {"model_version": "text-2"},
        {"processing_milliseconds": 13},
        {"submit_time": to_timestamp(make.now() - timedelta(hours=1))},
        {"analyze_time": to_timestamp(make.now() + timedelta(hours=1))},
        {"input_text_state": TRANSCRIPT_STATE_NO_KEY},
        {"sealed_input_text": b"\x00\x01k" + bytes(48)},
    ],
    ids=lambda changed: next(iter(changed)),
)
async def test_an_id_that_is_taken_by_other_content(suite: Suite, changed: dict) -> None:
    person = suite.person()
    request = request_for()
    await record(suite, person, request)
    other = analysis_pb2.RecordAnalysisRequest(**changed)
    other.request_id = request.request_id
    conflicting = analysis_pb2.RecordAnalysisRequest()
    conflicting.CopyFrom(request)
    for field in changed:
        conflicting.ClearField(field)
    conflicting.MergeFrom(other)
    assert await refusal(record(suite, person, conflicting)) == ("ALREADY_EXISTS", "ANALYSIS_EXISTS", [])
    assert await suite.count(TABLE) == 1


async def test_an_id_of_somebody_else_tells_nothing(suite: Suite) -> None:
    request = request_for()
    await record(suite, suite.person(), request)
    other = suite.person()
    assert await refusal(record(suite, other, request)) == ("ALREADY_EXISTS", "ANALYSIS_EXISTS", [])
    assert await refusal(get(suite, other, request.request_id)) == ("NOT_FOUND", "ANALYSIS_NOT_FOUND", [])


@pytest.mark.parametrize("state", [0, TRANSCRIPT_STATE_NOT_KEPT, TRANSCRIPT_STATE_NO_KEY])
async def test_an_analysis_without_words_says_why(suite: Suite, state: int) -> None:
    analysis = await record(suite, suite.person(), request_for(input_text_state=state))
    assert analysis.sealed_input_text == b""
    assert analysis.input_text_state == (state or TRANSCRIPT_STATE_NOT_KEPT)


async def test_plain_words_are_refused_by_default(suite: Suite) -> None:
    call = record(suite, suite.person(), request_for(input_text=WORDS))
    assert await refusal(call) == ("FAILED_PRECONDITION", "PLAINTEXT_NOT_ALLOWED", ["input_text"])
    assert await suite.count(TABLE) == 0


async def test_plain_words_are_sealed_in_memory_where_they_are_allowed(thin_suite: Suite) -> None:
    person = thin_suite.person()
    await give_key(thin_suite, person)
    request = request_for(input_text=WORDS)
    analysis = await record(thin_suite, person, request)
    assert analysis.input_text_state == TRANSCRIPT_STATE_SEALED
    assert opened(analysis.sealed_input_text, person, TABLE, request.request_id) == WORDS
    assert await record(thin_suite, person, request) == analysis
    assert WORDS not in await written(thin_suite)


async def test_plain_words_without_a_key_are_discarded_for_good(thin_suite: Suite) -> None:
    person = thin_suite.person()
    request = request_for(input_text=WORDS)
    analysis = await record(thin_suite, person, request)
    assert (analysis.sealed_input_text, analysis.input_text_state) == (b"", TRANSCRIPT_STATE_NO_KEY)
    await give_key(thin_suite, person)
    assert await record(thin_suite, person, request) == analysis
    assert WORDS not in await written(thin_suite)


BAD_FIELDS = [
    ("request_id", {"request_id": "no-uuid"}),
    ("source", {"source": "Words of a person"}),
    ("source", {"source": "x" * 33}),
    ("predicted_label", {"predicted_label": "I feel low"}),
    ("predicted_label", {"predicted_label": "x" * 17}),
    ("confidence", {"confidence": 1.0001}),
    ("confidence", {"confidence": -0.1}),
    ("confidence", {"confidence": float("nan")}),
    ("model_version", {"model_version": "x" * 65}),
    ("processing_milliseconds", {"processing_milliseconds": -1}),
    ("processing_milliseconds", {"processing_milliseconds": 3_600_001}),
    ("submit_time", {"submit_time": timedelta(hours=3)}),
    ("analyze_time", {"analyze_time": timedelta(days=1, hours=1)}),
    ("sealed_input_text", {"sealed_input_text": b"words that were not sealed at all, only sent as they were said"}),
    ("sealed_input_text", {"sealed_input_text": b""}),
    ("sealed_input_text", {"sealed_input_text": b"\x00\x01k" + bytes(65_536)}),
    ("input_text_state", {"input_text_state": TRANSCRIPT_STATE_SEALED}),
    ("input_text_state", {"input_text_state": 77}),
    (
        "input_text_state",
        {"sealed_input_text": b"\x00\x01k" + bytes(48), "input_text_state": TRANSCRIPT_STATE_NO_KEY},
    ),
]


@pytest.mark.parametrize(("field", "wrong"), BAD_FIELDS)
async def test_bad_input_names_its_field(suite: Suite, field: str, wrong: dict) -> None:
    person = suite.person()
    request = request_for(**make.from_now(wrong))
    assert await refusal(record(suite, person, request)) == ("INVALID_ARGUMENT", "INVALID_FIELD", [field])
    assert await suite.count(TABLE) == 0
    await record(suite, person, request_for())


@pytest.mark.parametrize(
    "field", ["request_id", "source", "predicted_label", "model_version", "submit_time", "analyze_time"]
)
async def test_what_is_required(suite: Suite, field: str) -> None:
    request = request_for()
    request.ClearField(field)
    assert await refusal(record(suite, suite.person(), request)) == ("INVALID_ARGUMENT", "INVALID_FIELD", [field])


async def test_contradictory_words_are_refused_where_plain_ones_are_allowed(thin_suite: Suite) -> None:
    request = request_for(input_text=WORDS, input_text_state=TRANSCRIPT_STATE_NO_KEY)
    assert (await refusal(record(thin_suite, thin_suite.person(), request)))[2] == ["input_text_state"]
    request = request_for(input_text="x" * 16_385)
    assert (await refusal(record(thin_suite, thin_suite.person(), request)))[2] == ["input_text"]


async def test_lists_are_newest_first_and_filtered(suite: Suite) -> None:
    person, now = suite.person(ROLE_USER), make.now()
    hours, labels = (5, 1, 3, 2, 4), ("calm", "low_mood", "calm", "low_mood", "calm")
    ids = {}
    for ago, label in zip(hours, labels, strict=True):
        then = to_timestamp(now - timedelta(hours=ago))
        request = request_for(predicted_label=label)
        request.submit_time.CopyFrom(then)
        request.analyze_time.CopyFrom(then)
        ids[ago] = (await record(suite, person, request)).request_id
    await record(suite, suite.person(), request_for())
    assert await listed(suite, person) == [ids[ago] for ago in (1, 2, 3, 4, 5)]
    assert await listed(suite, person, predicted_label="calm") == [ids[ago] for ago in (3, 4, 5)]
    start, end = (to_timestamp(now - timedelta(hours=ago)) for ago in (4, 2))
    assert await listed(suite, person, start_time=start, end_time=end) == [ids[ago] for ago in (3, 4)]
    assert await listed(suite, person, predicted_label="none") == [""]


async def test_analyses_of_one_moment_are_all_listed_once(suite: Suite) -> None:
    person, then = suite.person(), to_timestamp(make.now())
    ids = set()
    for _ in range(5):
        request = request_for()
        request.submit_time.CopyFrom(then)
        request.analyze_time.CopyFrom(then)
        ids.add((await record(suite, person, request)).request_id)
    found = await listed(suite, person)
    assert (len(found), set(found)) == (5, ids)


async def test_a_token_of_another_list_is_refused(suite: Suite) -> None:
    person, stub = suite.person(), AnalysisServiceStub(suite.channel)
    for _ in range(2):
        await record(suite, person, request_for())
    first = await stub.ListAnalyses(analysis_pb2.ListAnalysesRequest(page_size=1), metadata=person.metadata)
    other = analysis_pb2.ListAnalysesRequest(page_token=first.next_page_token, predicted_label="calm")
    call = stub.ListAnalyses(other, metadata=person.metadata)
    assert await refusal(call) == ("INVALID_ARGUMENT", "PAGE_TOKEN_INVALID", ["page_token"])


async def test_counselors_read_people_in_care_alone_and_are_audited(suite: Suite) -> None:
    person, counselor = suite.person(), suite.counselor()
    request = request_for()
    await record(suite, person, request)
    assert (await refusal(get(suite, counselor, request.request_id)))[:2] == ("NOT_FOUND", "ANALYSIS_NOT_FOUND")
    call = listed(suite, counselor, anonymous_id=person.anonymous_id)
    assert (await refusal(call))[:2] == ("PERMISSION_DENIED", "NOT_YOUR_PERSON")
    await care_for(suite, counselor, person)
    audited = await suite.count("audit_logs")
    assert (await get(suite, counselor, request.request_id)).request_id == request.request_id
    assert await listed(suite, counselor, anonymous_id=person.anonymous_id) == [request.request_id]
    assert await suite.count("audit_logs") == audited + 2
    assert (await refusal(record(suite, counselor, request_for())))[:2] == ("PERMISSION_DENIED", "ROLE_NOT_ALLOWED")


async def test_services_and_strangers_read_nothing(suite: Suite) -> None:
    stub, request = AnalysisServiceStub(suite.channel), analysis_pb2.ListAnalysesRequest()
    assert (await refusal(stub.ListAnalyses(request, metadata=service_token())))[1] == "ROLE_NOT_ALLOWED"
    assert (await refusal(stub.ListAnalyses(request)))[0] == "UNAUTHENTICATED"


async def test_times_are_kept_to_the_microsecond(suite: Suite) -> None:
    person, then = suite.person(), make.now().replace(microsecond=123_456)
    request = request_for()
    request.submit_time.CopyFrom(to_timestamp(then))
    request.analyze_time.CopyFrom(to_timestamp(then))
    assert to_datetime((await record(suite, person, request)).analyze_time) == then
