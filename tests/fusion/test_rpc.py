"""FusionService over a real channel."""

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import grpc
import pytest

from libs.common.db.database import Database
from libs.common.timestamps import to_datetime
from quietus.common.v1.options_pb2 import ROLE_COUNSELOR, ROLE_DEVICE, ROLE_SERVICE
from quietus.common.v1.types_pb2 import RISK_LEVEL_CRITICAL, RISK_LEVEL_LOW
from quietus.fusion.v1 import fusion_pb2 as contract
from quietus.fusion.v1.fusion_pb2_grpc import FusionServiceStub
from quietus.ingest.v1.sessions_pb2 import SILENCE_CAUSE_FAILED
from services.fusion.fold import Models
from services.fusion.vocabulary import CrisisSignal, Emotion, Modality
from tests.fusion import make
from tests.fusion.events import apply, committed, ended, resumed, silent, table, told
from tests.fusion.make import SESSION_ID, batch, chunk, predictions, said, shown
from tests.fusion.serving import COUNSELOR_ID, OWN, refused, serving, take_into_care, token

# Longer than anything here takes: a bound on a hanging test, not a measurement.
PATIENCE_SECONDS = 20.0
SAD = tuple(float(emotion is Emotion.SAD) for emotion in Emotion)


@pytest.fixture
async def stub(database: Database, models: Models) -> AsyncIterator[FusionServiceStub]:
    async with serving(database, models) as channel:
        yield FusionServiceStub(channel)


@pytest.fixture
async def session(database: Database, models: Models) -> None:
    """Five chunks of somebody who masks, the second without a face."""
    for number in range(5):
        face = None if number == 1 else shown(Emotion.SAD, 0.6, distribution=SAD)
        one = chunk(number, face, shown(Emotion.SAD, 0.6, distribution=SAD), said(0.1, valence=0.6))
        await apply(database, models, [committed(batch(number + 1, *predictions(one)))])


@pytest.mark.usefixtures("session")
async def test_results_come_in_pages_in_the_order_of_capture(stub: FusionServiceStub) -> None:
    request = contract.ListFusionResultsRequest(session_id=str(SESSION_ID), page_size=2)
    results, pages = [], 0
    while not pages or request.page_token:
        page = await stub.ListFusionResults(request, metadata=OWN)
        results.extend(page.results)
        request.page_token = page.next_page_token
        pages += 1
    assert pages == 3
    assert [result.chunk_id for result in results] == [str(make.window(number).chunk_id) for number in range(5)]


@pytest.mark.usefixtures("session")
async def test_a_result_says_since_when_a_modality_was_silent(
    stub: FusionServiceStub, database: Database, models: Models
) -> None:
    since = make.window(0).capture_end_time
    await apply(database, models, [silent(Modality.VISION, since, SILENCE_CAUSE_FAILED)])
    listing = contract.ListFusionResultsRequest(session_id=str(SESSION_ID))
    second = (await stub.ListFusionResults(listing, metadata=OWN)).results[1]
    assert [(one.modality, one.reason) for one in second.lacking] == [(1, "FAILED")]
    assert to_datetime(second.lacking[0].since_time) == since
    assert f"Not received: face (failed since {since:%Y-%m-%d %H:%M:%S} UTC)." in second.explanation.summary
    asked = contract.GetSessionRiskRequest(session_id=str(SESSION_ID))
    risk = (await stub.GetSessionRisk(asked, metadata=OWN)).risk
    assert [(one.modality, one.reason) for one in risk.silent] == [(1, "FAILED")]
    assert list(risk.latest.lacking) == []
    await apply(database, models, [resumed(Modality.VISION, since, since)])
    second = (await stub.ListFusionResults(listing, metadata=OWN)).results[1]
    assert [(one.modality, one.reason) for one in second.lacking] == [(1, "NOT_RECEIVED")]
    assert list((await stub.GetSessionRisk(asked, metadata=OWN)).risk.silent) == []


@pytest.mark.usefixtures("session")
async def test_a_result_says_why_and_what_lacked(stub: FusionServiceStub) -> None:
    request = contract.ListFusionResultsRequest(session_id=str(SESSION_ID))
    second = (await stub.ListFusionResults(request, metadata=OWN)).results[1]
    assert second.prior_logit + second.contributions[0].logit + second.contributions[1].logit == second.logit
    assert [(one.modality, one.reason) for one in second.lacking] == [(1, "NOT_RECEIVED")]
    assert second.dissonance_direction == contract.DISSONANCE_DIRECTION_MASKING
    assert "Not received: face." in second.explanation.summary
    assert sum(second.emotions.probabilities) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.usefixtures("session")
async def test_a_result_says_what_it_would_be_otherwise_and_an_event_does_not(
    stub: FusionServiceStub, database: Database
) -> None:
    request = contract.ListFusionResultsRequest(session_id=str(SESSION_ID))
    second = (await stub.ListFusionResults(request, metadata=OWN)).results[1]
    voice, words = second.contributions
    assert voice.without.logit == second.prior_logit + words.logit
    assert words.without.logit == second.prior_logit + voice.logit
    assert voice.without.score < second.score == words.without.score  # the words are as calm as the prior
    assert {part.reliability for part in second.contributions} == {contract.RELIABILITY_ORIGIN_PRIOR}
    (face,) = second.lacking
    assert face.if_received.lowest_score < second.score < face.if_received.highest_score
    assert face.if_received.raised_level > RISK_LEVEL_LOW
    for event in await told(database):
        for result in event.chunks_fused.results:
            assert not any(part.HasField("without") for part in result.contributions)
            assert not any(one.HasField("if_received") for one in result.lacking)


@pytest.mark.usefixtures("session")
async def test_findings_of_dissonance_name_their_evidence(stub: FusionServiceStub) -> None:
    request = contract.ListDissonanceRecordsRequest(session_id=str(SESSION_ID), page_size=4)
    first_page = await stub.ListDissonanceRecords(request, metadata=OWN)
    request.page_token = first_page.next_page_token
    (newest,) = (await stub.ListDissonanceRecords(request, metadata=OWN)).records
    assert newest.interpretation == "MASKING_PERSISTENT"
    assert (newest.stated_emotion, newest.actual_emotion) == ("happy", "sad")
    assert list(newest.evidence_chunk_ids) == [str(make.window(number).chunk_id) for number in range(5)]


@pytest.mark.usefixtures("session")
async def test_a_session_settles(stub: FusionServiceStub, database: Database, models: Models) -> None:
    request = contract.GetSessionRiskRequest(session_id=str(SESSION_ID))
    before = (await stub.GetSessionRisk(request, metadata=OWN)).risk
    await apply(database, models, [ended()])
    after = (await stub.GetSessionRisk(request, metadata=OWN)).risk
    assert (before.settled, after.settled) == (False, True)
    assert (after.chunks, after.anonymous_id) == (5, "anon_0001")
    assert after.latest.chunk_id == str(make.window(4).chunk_id)


@pytest.mark.usefixtures("session")
@pytest.mark.parametrize("number", range(5))
async def test_a_replay_has_the_same_bits(stub: FusionServiceStub, number: int) -> None:
    request = contract.ReplayChunkRequest(session_id=str(SESSION_ID), chunk_id=str(make.window(number).chunk_id))
    replay = await stub.ReplayChunk(request, metadata=OWN)
    assert replay.identical
    assert replay.stored == replay.replayed


@pytest.mark.usefixtures("session")
async def test_a_replay_sees_a_changed_number(stub: FusionServiceStub, database: Database) -> None:
    async with database.transaction() as tx:
        await tx.execute("UPDATE fusion_results SET audio_logit = audio_logit + 1e-12")
    request = contract.ReplayChunkRequest(session_id=str(SESSION_ID), chunk_id=str(make.window(2).chunk_id))
    assert not (await stub.ReplayChunk(request, metadata=OWN)).identical


@pytest.mark.usefixtures("session")
async def test_what_cant_be_replayed_says_why(stub: FusionServiceStub, database: Database) -> None:
    first = contract.ReplayChunkRequest(session_id=str(SESSION_ID), chunk_id=str(make.window(0).chunk_id))
    unknown = contract.ReplayChunkRequest(session_id=str(SESSION_ID), chunk_id=str(uuid4()))
    with refused(grpc.StatusCode.NOT_FOUND, "CHUNK_NOT_FOUND"):
        await stub.ReplayChunk(unknown, metadata=OWN)
    async with database.transaction() as tx:
        await tx.execute("DELETE FROM chunk_inputs")
    with refused(grpc.StatusCode.FAILED_PRECONDITION, "INPUTS_EXPIRED"):
        await stub.ReplayChunk(first, metadata=OWN)
    async with database.transaction() as tx:
        await tx.execute("UPDATE fusion_results SET model_version = 'of-another-build'")
    with refused(grpc.StatusCode.FAILED_PRECONDITION, "MODEL_NOT_FOUND"):
        await stub.ReplayChunk(first, metadata=OWN)


@pytest.mark.usefixtures("session")
async def test_nobody_sees_a_stranger(stub: FusionServiceStub, database: Database) -> None:
    request = contract.GetSessionRiskRequest(session_id=str(SESSION_ID))
    unknown = contract.GetSessionRiskRequest(session_id=str(uuid4()))
    for metadata in (token(uuid4()), token(uuid4(), ROLE_DEVICE), token(COUNSELOR_ID, ROLE_COUNSELOR)):
        for one in (request, unknown):
            with refused(grpc.StatusCode.NOT_FOUND, "SESSION_NOT_FOUND"):
                await stub.GetSessionRisk(one, metadata=metadata)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.GetSessionRisk(request, metadata=token(None, ROLE_SERVICE))
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert await table(database, "audit_logs") == []


@pytest.mark.usefixtures("session")
async def test_a_counselors_look_is_audited_under_the_person(stub: FusionServiceStub, database: Database) -> None:
    await take_into_care(database)
    request = contract.ListFusionResultsRequest(session_id=str(SESSION_ID))
    await stub.ListFusionResults(request, metadata=token(COUNSELOR_ID, ROLE_COUNSELOR))
    (entry,) = await table(database, "audit_logs")
    assert entry["user_id"] == make.USER_ID


async def test_bad_requests_name_the_field(stub: FusionServiceStub) -> None:
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD"):
        await stub.GetSessionRisk(contract.GetSessionRiskRequest(session_id="mine"), metadata=OWN)


@pytest.mark.usefixtures("session")
async def test_a_page_token_of_another_session_is_refused(stub: FusionServiceStub) -> None:
    request = contract.ListFusionResultsRequest(session_id=str(SESSION_ID), page_size=2)
    stolen = (await stub.ListFusionResults(request, metadata=OWN)).next_page_token
    other = contract.ListDissonanceRecordsRequest(session_id=str(SESSION_ID), page_token=stolen)
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID"):
        await stub.ListDissonanceRecords(other, metadata=OWN)


class TestWatch:
    request = contract.WatchSessionRequest(session_id=str(SESSION_ID))

    async def test_first_the_state_as_it_is_then_as_it_changes(
        self, stub: FusionServiceStub, database: Database, models: Models
    ) -> None:
        await apply(database, models, [committed(batch(1, *predictions(chunk(0, text=said(0.05)))))])
        call = stub.WatchSession(self.request, metadata=OWN, timeout=PATIENCE_SECONDS)
        assert (await call.read()).risk.level == RISK_LEVEL_LOW
        crisis = chunk(1, text=said(0.9, signals=frozenset({CrisisSignal.SELF_HARM})))
        await apply(database, models, [committed(batch(2, *predictions(crisis)))])
        risk = (await call.read()).risk
        assert (risk.level, risk.latest.critical_cue) == (RISK_LEVEL_CRITICAL, True)
        await apply(database, models, [ended()])
        assert (await call.read()).risk.settled
        call.cancel()

    async def test_ones_own_session_may_not_exist_yet(
        self, stub: FusionServiceStub, database: Database, models: Models
    ) -> None:
        call = stub.WatchSession(self.request, metadata=OWN, timeout=PATIENCE_SECONDS)
        await call.initial_metadata()
        await apply(database, models, [committed(batch(1, *predictions(chunk(0, text=said(0.05)))))])
        assert (await call.read()).risk.chunks == 1
        call.cancel()

    async def test_a_session_that_turns_out_to_be_anothers_ends_the_watch(
        self, stub: FusionServiceStub, database: Database, models: Models
    ) -> None:
        call = stub.WatchSession(self.request, metadata=token(uuid4()), timeout=PATIENCE_SECONDS)
        reading = asyncio.ensure_future(call.read())
        await apply(database, models, [committed(batch(1, *predictions(chunk(0, text=said(0.05)))))])
        with refused(grpc.StatusCode.NOT_FOUND, "SESSION_NOT_FOUND"):
            await reading

    async def test_a_counselor_watches_only_while_caring(
        self, stub: FusionServiceStub, database: Database, models: Models
    ) -> None:
        metadata = token(COUNSELOR_ID, ROLE_COUNSELOR)
        with refused(grpc.StatusCode.NOT_FOUND, "SESSION_NOT_FOUND"):
            await stub.WatchSession(self.request, metadata=metadata, timeout=PATIENCE_SECONDS).read()
        await apply(database, models, [committed(batch(1, *predictions(chunk(0, text=said(0.05)))))])
        await take_into_care(database)
        call = stub.WatchSession(self.request, metadata=metadata, timeout=PATIENCE_SECONDS)
        await call.read()
        async with database.transaction() as tx:
            await tx.execute("DELETE FROM care_assignments")
        await apply(database, models, [committed(batch(2, *predictions(chunk(1, text=said(0.05)))))])
        with refused(grpc.StatusCode.NOT_FOUND, "SESSION_NOT_FOUND"):
            await call.read()
        assert len(await table(database, "audit_logs")) == 1

    async def test_a_slow_reader_gets_the_newest_state(
        self, stub: FusionServiceStub, database: Database, models: Models
    ) -> None:
        await apply(database, models, [committed(batch(1, *predictions(chunk(0, text=said(0.05)))))])
        call = stub.WatchSession(self.request, metadata=OWN, timeout=PATIENCE_SECONDS)
        await call.read()
        batches = [batch(number, *predictions(chunk(number, text=said(0.05)))) for number in range(2, 32)]
        await apply(database, models, [committed(one) for one in batches])
        assert (await call.read()).risk.chunks == 31
        call.cancel()
