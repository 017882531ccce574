"""PatternService and the feed, over a real channel and real Postgres."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

import grpc
import pytest

from libs.common.db.database import Database
from libs.common.feed.tail import Tail
from libs.common.observability.metrics import Metrics
from libs.common.people.store import assign_care
from libs.common.rpc.client import Metadata
from quietus.common.v1.feed_pb2 import BackfillRequest, FeedPayload
from quietus.common.v1.feed_pb2_grpc import FeedServiceStub
from quietus.common.v1.options_pb2 import ROLE_ADMIN, ROLE_COUNSELOR, ROLE_DEVICE, ROLE_SERVICE, ROLE_USER
from quietus.common.v1.types_pb2 import EMOTION_HAPPY, EMOTION_SAD, RiskLevel
from quietus.patterns.v1 import patterns_pb2 as contract
from quietus.patterns.v1.events_pb2 import Event
from quietus.patterns.v1.patterns_pb2_grpc import PatternServiceStub
from quietus_edge.errors import reason_of
from services.patterns.app import handlers, make_parts
from services.patterns.settings import PatternsSettings
from tests.common.rpc.harness import Tokens, serving
from tests.conftest import MakeDatabase
from tests.patterns.feeds import Batch, Chunk, End, Happening, apply, from_fusion, from_ingest, told_by, user_id

COUNSELOR = UUID(int=0xC0)


@dataclass(frozen=True)
class Suite:
    database: Database
    stub: PatternServiceStub
    feed: FeedServiceStub
    tokens: Tokens

    def person(self, number: int = 0) -> Metadata:
        return self.tokens.metadata(ROLE_USER, user_id(number), f"person-{number}")

    async def fold(self, *history: Happening) -> None:
        by_source = handlers()
        await apply(self.database, by_source["ingest"], [from_ingest(one) for one in history])
        await apply(self.database, by_source["fusion"], [from_fusion(one) for one in history])

    async def refused(self, call: grpc.aio.UnaryUnaryCall) -> tuple[grpc.StatusCode, str]:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        return caught.value.code(), reason_of(caught.value)


@pytest.fixture
async def suite(make_database: MakeDatabase) -> AsyncIterator[Suite]:
    database = make_database("patterns")
    parts = make_parts(PatternsSettings(port=0), database, Tail(database, Metrics("patterns")))
    async with serving(parts) as running:
        yield Suite(database, PatternServiceStub(running.channel), FeedServiceStub(running.channel), running.tokens)


def calm(session: int, user: int = 0) -> list[Happening]:
    cues = {"language": "en", "deflections": ["im_fine"], "topics": ["work"]}
    touched = [Chunk(number, 0.1, pitch_mean=200.0 + session % 3, cues=cues) for number in (1, 2)]
    return [Batch(user, session, 1, touched), End(user, session)]


def crisis(session: int, user: int = 0) -> Batch:
    level = RiskLevel.RISK_LEVEL_CRITICAL
    cues = {"language": "en", "topics": ["family"]}
    return Batch(user, session, 1, [Chunk(1, 0.95, level, masking=0.9, critical_cue=True, cues=cues)])


async def test_before_anything_there_is_the_default_and_no_pattern(suite: Suite) -> None:
    me = suite.person()
    interface = (await suite.stub.GetInterface(contract.GetInterfaceRequest(), metadata=me)).interface
    assert (interface.config_id, interface.version, interface.theme) == ("", "", contract.THEME_BALANCED)
    assert "crisis_help" in interface.primary_components
    assert not interface.HasField("generate_time")
    refused = await suite.refused(suite.stub.GetCurrentPattern(contract.GetCurrentPatternRequest(), metadata=me))
    assert refused == (grpc.StatusCode.NOT_FOUND, "PATTERN_NOT_FOUND")
    assert not (await suite.stub.ListBaselines(contract.ListBaselinesRequest(), metadata=me)).baselines


async def test_a_person_reads_what_was_made_of_their_sessions(suite: Suite) -> None:
    for session in range(6):
        await suite.fold(*calm(session))
    await suite.fold(crisis(6))
    me = suite.person()

    pattern = (await suite.stub.GetCurrentPattern(contract.GetCurrentPatternRequest(), metadata=me)).pattern
    assert (pattern.version, pattern.sessions_analyzed, pattern.anonymous_id) == (7, 7, "person-0")
    assert (pattern.current_level, pattern.current_state) == (RiskLevel.RISK_LEVEL_CRITICAL, "crisis")
    assert pattern.current_risk_factors[0] == "CRITICAL_CUE"
    assert pattern.primary_language == "en"
    assert pattern.deflection_frequency == pytest.approx(12 / 13)
    assert list(pattern.triggers) == ["family"]
    assert list(pattern.primary_emotions) == [EMOTION_HAPPY, EMOTION_SAD]
    assert sum(pattern.emotions.probabilities) == pytest.approx(1, abs=1e-3)

    interface = (await suite.stub.GetInterface(contract.GetInterfaceRequest(), metadata=me)).interface
    assert (interface.theme, interface.crisis_prominence) == (
        contract.THEME_CRISIS,
        contract.CRISIS_PROMINENCE_MODAL,
    )
    assert interface.primary_components[0] == "crisis_help"
    assert interface.version == "7.3"
    assert "crisis" in interface.rule_ids

    baselines = (await suite.stub.ListBaselines(contract.ListBaselinesRequest(), metadata=me)).baselines
    by_feature = {baseline.feature: baseline for baseline in baselines}
    assert sorted(by_feature) == [baseline.feature for baseline in baselines]
    assert by_feature["pitch_mean"].median == 201.0
    assert (by_feature["pitch_mean"].sessions, by_feature["pitch_mean"].established) == (6, True)


async def test_assessments_come_newest_first_by_pages_and_add_up(suite: Suite) -> None:
    for session in range(6):
        await suite.fold(*calm(session))
    await suite.fold(crisis(6))
    request = contract.ListRiskAssessmentsRequest(page_size=3)
    found: list[contract.RiskAssessment] = []
    while True:
        page = await suite.stub.ListRiskAssessments(request, metadata=suite.person())
        found.extend(page.assessments)
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert len(found) == 7
    assert [one.session_id for one in found] == sorted((one.session_id for one in found), reverse=True)
    for one in found:
        parts = one.fusion_contribution + one.dissonance_contribution
        assert one.logit == parts + one.baseline_deviation_contribution + one.pattern_contribution
    newest, oldest = found[0], found[-1]
    assert (newest.warming_up, newest.baseline_sessions) == (False, 6)
    assert (oldest.warming_up, oldest.baseline_sessions, len(oldest.deviations)) == (True, 0, 0)
    assert newest.deviations[0].feature == "session_score"
    assert newest.deviations[0].robust_z == 10
    sizes = [abs(deviation.robust_z) for deviation in newest.deviations]
    assert sizes == sorted(sizes, reverse=True)
    assert newest.method_version == "assessment-1"


async def test_changes_come_newest_first_by_pages_with_a_reason(suite: Suite) -> None:
    await suite.fold(*calm(0), crisis(1))
    request = contract.ListInterfaceChangesRequest(page_size=2)
    found: list[contract.InterfaceChange] = []
    while True:
        page = await suite.stub.ListInterfaceChanges(request, metadata=suite.person())
        found.extend(page.changes)
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    times = [change.change_time.ToDatetime() for change in found]
    assert times == sorted(times, reverse=True)
    assert len({change.change_id for change in found}) == len(found) > 4
    assert all(change.reason for change in found)
    assert "risk_escalation" in {change.change_type for change in found if change.change_time == found[0].change_time}
    wrong = contract.ListRiskAssessmentsRequest(page_token=request.page_token or "x")
    refused = await suite.refused(suite.stub.ListRiskAssessments(wrong, metadata=suite.person()))
    assert refused == (grpc.StatusCode.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID")


async def test_nobody_else_reads_but_who_cares(suite: Suite) -> None:
    await suite.fold(*calm(0))
    request = contract.GetCurrentPatternRequest(anonymous_id="person-0")
    stranger = suite.person(1)
    counselor = suite.tokens.metadata(ROLE_COUNSELOR, COUNSELOR, "counselor-1")
    for who in (stranger, counselor):
        refused = await suite.refused(suite.stub.GetCurrentPattern(request, metadata=who))
        assert refused == (grpc.StatusCode.PERMISSION_DENIED, "NOT_YOUR_PERSON")
    for role in (ROLE_SERVICE, ROLE_ADMIN):
        refused = await suite.refused(suite.stub.GetCurrentPattern(request, metadata=suite.tokens.metadata(role)))
        assert refused[0] == grpc.StatusCode.PERMISSION_DENIED
    device = suite.tokens.metadata(ROLE_DEVICE, user_id(0), "person-0", device_id="d")
    assert (await suite.stub.GetCurrentPattern(contract.GetCurrentPatternRequest(), metadata=device)).pattern.version

    async with suite.database.transaction() as tx:
        await assign_care(tx, COUNSELOR, user_id(0), datetime(2026, 1, 1, tzinfo=UTC))
    pattern = (await suite.stub.GetCurrentPattern(request, metadata=counselor)).pattern
    assert pattern.anonymous_id == "person-0"
    async with suite.database.read() as tx:
        assert await tx.scalar("SELECT count(*) FROM audit_logs WHERE user_id = :user", {"user": user_id(0)}) == 1


async def test_a_backfill_tells_each_sessions_newest_assessment_and_the_current_interface(suite: Suite) -> None:
    for session in range(3):
        await suite.fold(*calm(session, user=session % 2))
    await suite.fold(crisis(3))
    told = [event for events in (await told_by(suite.database)).values() for event in events]
    newest = {event.risk_assessed.assessment.session_id: event for event in told if event.HasField("risk_assessed")}
    shown = {event.interface_generated.user_id: event for event in told if event.HasField("interface_generated")}

    metadata = suite.tokens.metadata(ROLE_SERVICE, service="alerts")
    payloads = [
        response.payload
        async for response in suite.feed.Backfill(BackfillRequest(follower="alerts"), metadata=metadata)
    ]
    events = [Event.FromString(data) for payload in payloads for data in FeedPayload.FromString(payload).events]
    assert sorted(map(str, events)) == sorted(map(str, [*newest.values(), *shown.values()]))
