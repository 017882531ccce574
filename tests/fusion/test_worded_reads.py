"""What FusionService shows of worded explanations, over a real channel."""

from collections.abc import AsyncIterator

import grpc
import httpx
import pytest

from libs.common.db.database import Database
from libs.common.feed.tail import Tail
from libs.common.observability.metrics import Metrics
from libs.common.rpc.server import build_server
from quietus.common.v1.types_pb2 import RISK_LEVEL_MEDIUM
from quietus.fusion.v1 import fusion_pb2 as contract
from quietus.fusion.v1.fusion_pb2_grpc import FusionServiceStub
from services.fusion.app import make_parts
from services.fusion.explanation import Wording
from services.fusion.fold import Models
from services.fusion.service.language_model import LanguageModel
from services.fusion.service.worder import Worder
from services.fusion.settings import FusionSettings
from services.fusion.vocabulary import CrisisSignal
from services.fusion.wording import PROMPT_VERSION
from tests.fusion.endpoint import running_endpoint
from tests.fusion.events import apply, committed
from tests.fusion.make import SESSION_ID, batch, chunk, predictions, said, shown
from tests.fusion.serving import OWN, VERIFIER

LISTING = contract.ListFusionResultsRequest(session_id=str(SESSION_ID))
RISK = contract.GetSessionRiskRequest(session_id=str(SESSION_ID))
WORRIED = shown(probability=0.95, confidence=0.9)


@pytest.fixture
async def wordings(database: Database, models: Models) -> dict[str, Wording]:
    """Of nine chunks with a worried face, as a real endpoint worded them."""
    batches = [committed(batch(number, *predictions(chunk(number, WORRIED)))) for number in range(1, 10)]
    await apply(database, models, batches)
    shown_to_readers: dict[str, Wording] = {}
    async with running_endpoint() as endpoint, httpx.AsyncClient() as client:
        settings = FusionSettings(llm_url=endpoint.url, llm_model="small-1")
        worder = Worder(database, settings, Metrics("fusion"), shown_to_readers)
        await worder.word_waiting(LanguageModel(client, settings))
    return shown_to_readers


@pytest.fixture
async def stub(database: Database, models: Models, wordings: dict[str, Wording]) -> AsyncIterator[FusionServiceStub]:
    metrics, settings = Metrics("fusion"), FusionSettings(port=0)
    parts = make_parts(settings, database, models, Tail(database, metrics), wordings)
    server = build_server(settings, parts, VERIFIER, metrics)
    port = await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield FusionServiceStub(channel)
    await server.drain(0.1)


async def newest(stub: FusionServiceStub) -> contract.FusionResult:
    """The same in both reads."""
    listed = (await stub.ListFusionResults(LISTING, metadata=OWN)).results[-1]
    assert (await stub.GetSessionRisk(RISK, metadata=OWN)).risk.latest == listed
    return listed


def is_by_template(explanation: contract.Explanation) -> bool:
    return (explanation.source, explanation.language_model, explanation.prompt_version) == (
        contract.EXPLANATION_SOURCE_TEMPLATE,
        "",
        "",
    )


async def test_reads_show_the_words_and_who_made_them(stub: FusionServiceStub) -> None:
    result = await newest(stub)
    assert result.level == RISK_LEVEL_MEDIUM
    explanation = result.explanation
    assert explanation.summary == ("Worth watching. The face shows strong distress. Not received: voice, words.")
    assert explanation.source == contract.EXPLANATION_SOURCE_LANGUAGE_MODEL
    assert (explanation.language_model, explanation.prompt_version) == ("small-1", PROMPT_VERSION)
    assert explanation.recommended_action == contract.ACTION_LEVEL_MONITOR
    assert [signal.code for signal in explanation.key_signals] == ["FACE_DISTRESS"]


async def test_a_low_level_is_explained_by_template(stub: FusionServiceStub) -> None:
    first = (await stub.ListFusionResults(LISTING, metadata=OWN)).results[0]
    assert is_by_template(first.explanation)
    assert first.explanation.summary == "Nothing asks for attention. Not received: voice, words."


async def test_a_revision_with_other_facts_doesnt_show_the_old_words(
    stub: FusionServiceStub, database: Database, models: Models
) -> None:
    late = batch(10, *predictions(chunk(9, audio=shown(probability=0.9))))
    await apply(database, models, [committed(late)])
    result = await newest(stub)
    assert result.revision == 2
    assert is_by_template(result.explanation)
    assert "the voice shows distress" in result.explanation.summary


async def test_a_crisis_is_explained_by_template_whatever_was_worded(
    stub: FusionServiceStub, database: Database, models: Models, wordings: dict[str, Wording]
) -> None:
    crisis = said(0.1, signals=frozenset({CrisisSignal.SELF_HARM}))
    await apply(database, models, [committed(batch(11, *predictions(chunk(0, text=crisis))))])
    wordings[""] = Wording("All is well.", "small-1", PROMPT_VERSION)
    results = (await stub.ListFusionResults(LISTING, metadata=OWN)).results
    assert len(results) == 10
    for result in results:
        assert is_by_template(result.explanation)
        assert "danger to life" in result.explanation.summary


@pytest.mark.usefixtures("wordings")
async def test_without_an_endpoint_nothing_worded_is_shown(database: Database, models: Models) -> None:
    metrics, settings = Metrics("fusion"), FusionSettings(port=0)
    server = build_server(settings, make_parts(settings, database, models, Tail(database, metrics)), VERIFIER, metrics)
    port = await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        assert is_by_template((await newest(FusionServiceStub(channel))).explanation)
    await server.drain(0.1)
