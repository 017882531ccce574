"""Explanations are worded by a real endpoint that behaves well, lies, stalls or answers rubbish."""

import asyncio
import gzip
import re
from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import UUID

import httpx
import orjson
import pytest
from structlog.testing import capture_logs

from libs.common.db.database import Database
from libs.common.observability.metrics import Metrics
from libs.common.settings import SettingsError, read_settings
from services.fusion.explanation import Wording
from services.fusion.fold import Models
from services.fusion.inputs import ChunkInputs
from services.fusion.language_model import MOST_ANSWER_BYTES, LanguageModel
from services.fusion.restraint import CircuitBreaker
from services.fusion.settings import FusionSettings
from services.fusion.vocabulary import CrisisSignal
from services.fusion.worder import BURST, DEGRADED, FAILURES_IN_A_ROW, MOST_ATTEMPTS, Worder
from services.fusion.wording import PROMPT_VERSION, Refusal
from tests.fusion import make
from tests.fusion.endpoint import Asked, Endpoint, Reply, answering, completion, honest, running_endpoint
from tests.fusion.events import apply, committed, ended, everything, table
from tests.fusion.make import batch, chunk, predictions, said, shown

FACTS = "FACE_DISTRESS:strong"
KEY = "secret-of-the-test"
WORRIED = shown(probability=0.95, confidence=0.9)
# Far longer than loopback needs, and short enough to wait for once.
TIMEOUT_SECONDS = 20.0
STALLED_SECONDS = 0.2


@pytest.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    async with running_endpoint() as running:
        yield running


def settings_for(endpoint: Endpoint, **more: Any) -> FusionSettings:
    values = {
        "llm_model": "small-1",
        "llm_api_key": KEY,
        "llm_requests_per_minute": 6000,
        "llm_timeout_seconds": TIMEOUT_SECONDS,
    }
    return FusionSettings(llm_url=endpoint.url, **(values | more))


class Trial:
    """A worder and what it shows."""

    def __init__(self, database: Database, settings: FusionSettings) -> None:
        self.shown: dict[str, Wording] = {}
        self.metrics = Metrics("fusion")
        self.now = 1000.0
        breaker = CircuitBreaker(FAILURES_IN_A_ROW, 30, 900, lambda: self.now)
        self._settings = settings
        self._worder = Worder(database, settings, self.metrics, self.shown, breaker)

    async def word(self) -> None:
        async with httpx.AsyncClient() as client:
            await self._worder.word_waiting(LanguageModel(client, self._settings))

    def texts(self) -> dict[str, str]:
        return {facts: wording.text for facts, wording in self.shown.items()}

    @property
    def outcomes(self) -> dict[str, float]:
        samples = [one for metric in self.metrics.explanation_wordings.collect() for one in metric.samples]
        return {one.labels["outcome"]: one.value for one in samples if one.name.endswith("_total")}

    @property
    def is_degraded(self) -> bool:
        return DEGRADED in self.metrics.degraded_reasons


def worried(chunks: int = 9) -> list[ChunkInputs]:
    """A face that shows strong distress, until the level isn't low any more."""
    return [chunk(number, WORRIED) for number in range(chunks)]


def session(offset: int) -> UUID:
    return UUID(int=make.SESSION_ID.int + offset)


async def fuse(database: Database, models: Models, *chunks: ChunkInputs, session_id: UUID = make.SESSION_ID) -> None:
    batches = [batch(number, *predictions(one), session_id=session_id) for number, one in enumerate(chunks, start=1)]
    await apply(database, models, [committed(one) for one in batches])


async def wait_no_longer(database: Database) -> None:
    async with database.transaction() as tx:
        await tx.execute("UPDATE explanation_wordings SET ask_after = now() - interval '1 second'")


async def fuse_many(database: Database, models: Models) -> set[str]:
    """Sessions with facts of their own; returns those."""
    words = said(0.9)
    kinds: list[dict[str, Any]] = [
        {"vision": WORRIED},
        {"audio": WORRIED},
        {"text": words},
        {"vision": WORRIED, "audio": WORRIED},
        {"vision": WORRIED, "text": words},
        {"audio": WORRIED, "text": words},
        {"vision": WORRIED, "audio": WORRIED, "text": words},
    ]
    for offset, content in enumerate(kinds):
        await fuse(database, models, *(chunk(number, **content) for number in range(9)), session_id=session(offset))
    return {row["facts"] for row in await table(database, "llm_explanations")} - {None}


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while not condition():  # noqa: ASYNC110 - nothing here has an event
            await asyncio.sleep(0.01)


async def test_facts_are_worded_once_for_all_that_have_them(
    database: Database, models: Models, endpoint: Endpoint
) -> None:
    await fuse(database, models, *worried())
    worder = Trial(database, settings_for(endpoint))
    await worder.word()
    assert worder.shown == {FACTS: Wording("The face shows strong distress.", "small-1", PROMPT_VERSION)}
    await fuse(database, models, *worried(), session_id=session(1))
    await worder.word()
    again = Trial(database, settings_for(endpoint))
    await again.word()
    assert again.shown == worder.shown
    assert len(endpoint.asked) == 1
    assert worder.outcomes == {"WORDED": 1.0}


async def test_what_is_sent_holds_neither_ids_nor_times_nor_words(
    database: Database, models: Models, endpoint: Endpoint
) -> None:
    await fuse(database, models, *worried(), chunk(9, WORRIED, shown(probability=0.7), said(0.02)))
    await Trial(database, settings_for(endpoint)).word()
    assert endpoint.asked
    for asked in endpoint.asked:
        assert asked.path == "/v1/chat/completions"
        assert asked.headers["authorization"] == f"Bearer {KEY}"
        assert asked.headers.keys() <= {
            *("host", "accept", "accept-encoding", "connection", "user-agent"),
            *("authorization", "content-type", "content-length"),
        }
        assert asked.body.keys() == {"model", "messages", "temperature", "max_tokens", "response_format"}
        user = asked.body["messages"][1]["content"]
        assert re.fullmatch(r"[A-Z_a-z \"{}\[\]:,1-7]*", user)
        assert {key for fact in asked.facts for key in fact} == {"number", "code", "strength", "meaning"}
        whole = orjson.dumps(asked.body).decode()
        for secret in (make.USER_ID, make.SESSION_ID, make.window(9).chunk_id):
            assert str(secret) not in whole
            assert secret.hex not in whole
        for secret in ("anon_", "2026", "simulated-1", "fusion-", "0."):
            assert secret not in whole


async def test_a_crisis_is_never_asked_about(database: Database, models: Models, endpoint: Endpoint) -> None:
    crisis = said(0.9, signals=frozenset({CrisisSignal.SELF_HARM}))
    await fuse(database, models, chunk(0, WORRIED, text=crisis), *worried(12)[1:])
    rows = await table(database, "llm_explanations")
    assert {row["recommended_action_level"] for row in rows} == {"urgent"}
    assert {row["facts"] for row in rows} == {None}
    worder = Trial(database, settings_for(endpoint))
    await worder.word()
    assert (endpoint.asked, worder.shown) == ([], {})


async def test_facts_of_a_revision_that_is_gone_are_asked_about_no_more(
    database: Database, models: Models, endpoint: Endpoint
) -> None:
    await fuse(database, models, *worried())
    late = said(0.9, signals=frozenset({CrisisSignal.FAREWELL}))
    await apply(database, models, [committed(batch(20, *predictions(chunk(0, text=late))))])
    await Trial(database, settings_for(endpoint)).word()
    assert endpoint.asked == []


RUBBISH: dict[str, tuple[Callable[[Asked], Reply | None], str]] = {
    "lies about a fact": (
        answering({"sentences": [{"text": "The voice is calm.", "facts": ["VOICE_CALM"]}]}),
        "UNKNOWN_FACT",
    ),
    "lies about a strength": (
        answering({"sentences": [{"text": "The face shows slight distress.", "facts": ["FACE_DISTRESS"]}]}),
        "UNSUPPORTED",
    ),
    "makes up a number": (
        answering({"sentences": [{"text": "The face shows 93 distress.", "facts": ["FACE_DISTRESS"]}]}),
        "NUMBER",
    ),
    "speaks of a crisis": (
        answering({"sentences": [{"text": "The face shows suicidal distress.", "facts": ["FACE_DISTRESS"]}]}),
        "UNKNOWN_WORD",
    ),
    "chats": (lambda _: completion("Sure! The face shows strong distress."), "WRONG_SCHEMA"),
    "another schema": (answering({"summary": "The face shows strong distress."}), "WRONG_SCHEMA"),
    "not JSON": (lambda _: Reply(b"<html>"), "NOT_A_COMPLETION"),
    "nothing": (lambda _: Reply(b""), "NOT_A_COMPLETION"),
    "no choice": (lambda _: Reply(b'{"choices": []}'), "NOT_A_COMPLETION"),
    "no content": (lambda _: Reply(b'{"choices": [{"message": {"content": null}}]}'), "NOT_A_COMPLETION"),
    "not text": (lambda _: Reply(b"\xff\xfe\x00"), "NOT_A_COMPLETION"),
    "huge": (lambda _: completion(" " * MOST_ANSWER_BYTES), "TOO_LARGE"),
    "compressed": (
        lambda asked: Reply(gzip.compress(honest(asked).body), headers="content-encoding: gzip\r\n"),
        "NOT_A_COMPLETION",
    ),
    "500": (lambda asked: Reply(honest(asked).body, 500), "WRONG_STATUS"),
    "404": (lambda asked: Reply(b"", 404), "WRONG_STATUS"),
    "redirect": (lambda _: Reply(b"", 302, "location: http://127.0.0.1:1/\r\n"), "WRONG_STATUS"),
    "429": (lambda _: Reply(b"", 429, "retry-after: 1\r\n"), "RATE_LIMITED"),
}


@pytest.mark.parametrize("kind", RUBBISH)
async def test_what_cant_be_taken_leaves_the_template(
    kind: str, database: Database, models: Models, endpoint: Endpoint
) -> None:
    endpoint.reply, outcome = RUBBISH[kind]
    await fuse(database, models, *worried())
    worder = Trial(database, settings_for(endpoint))
    await worder.word()
    assert (worder.outcomes, worder.shown) == ({outcome: 1.0}, {})
    assert len(endpoint.asked) == 1


@pytest.mark.parametrize("reply", [None, Reply(b" " * 10_000, drips=True)], ids=["says nothing", "drips"])
async def test_an_endpoint_that_stalls_is_left_after_the_timeout(
    reply: Reply | None, database: Database, models: Models, endpoint: Endpoint
) -> None:
    endpoint.reply = lambda _: reply
    await fuse(database, models, *worried())
    worder = Trial(database, settings_for(endpoint, llm_timeout_seconds=STALLED_SECONDS))
    await worder.word()
    assert (worder.outcomes, worder.shown) == ({"TIMEOUT": 1.0}, {})


async def test_fusion_goes_on_while_the_endpoint_stalls(database: Database, models: Models, endpoint: Endpoint) -> None:
    endpoint.reply = lambda _: None
    await fuse(database, models, *worried())
    worder = Trial(database, settings_for(endpoint))
    asking = asyncio.create_task(worder.word())
    await until(lambda: bool(endpoint.asked))
    await apply(database, models, [committed(batch(20, *predictions(chunk(20, WORRIED)))), ended()])
    assert len(await table(database, "fusion_results")) == 10
    assert not asking.done()
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)


async def test_facts_whose_answers_cant_be_taken_are_given_up(
    database: Database, models: Models, endpoint: Endpoint
) -> None:
    endpoint.reply = answering({"sentences": []})
    await fuse(database, models, *worried())
    worder = Trial(database, settings_for(endpoint))
    for _ in range(MOST_ATTEMPTS + 2):
        await worder.word()
        await wait_no_longer(database)
        worder.now += 3600
    assert len(endpoint.asked) == MOST_ATTEMPTS
    (row,) = await table(database, "explanation_wordings")
    assert (row["text"], row["refusal"], row["attempts"]) == (None, Refusal.WRONG_SCHEMA, MOST_ATTEMPTS)
    other_model = Trial(database, settings_for(endpoint, llm_model="small-2"))
    endpoint.reply = honest
    await other_model.word()
    assert other_model.texts() == {FACTS: "The face shows strong distress."}


async def test_a_dead_endpoint_isnt_asked_for_each_and_comes_back(
    database: Database, models: Models, endpoint: Endpoint
) -> None:
    endpoint.reply = lambda _: Reply(b"", 503)
    facts = await fuse_many(database, models)
    assert len(facts) > FAILURES_IN_A_ROW
    worder = Trial(database, settings_for(endpoint))
    await worder.word()
    await wait_no_longer(database)
    await worder.word()
    assert worder.outcomes == {"WRONG_STATUS": float(FAILURES_IN_A_ROW)}
    assert worder.is_degraded
    endpoint.reply = honest
    worder.now += 30
    await worder.word()
    assert worder.shown.keys() == facts
    assert not worder.is_degraded


async def test_no_more_is_asked_than_the_rate_allows(database: Database, models: Models, endpoint: Endpoint) -> None:
    assert len(await fuse_many(database, models)) > BURST
    asking = asyncio.create_task(Trial(database, settings_for(endpoint, llm_requests_per_minute=0.01)).word())
    await until(lambda: len(endpoint.asked) == BURST)
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while len([row for row in await table(database, "explanation_wordings") if row["text"]]) < BURST:
            assert not asking.done()
    assert (len(endpoint.asked), asking.done()) == (BURST, False)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)


async def test_the_job_shows_what_it_has_words_for(database: Database, models: Models, endpoint: Endpoint) -> None:
    await fuse(database, models, *worried())
    shown_to_readers: dict[str, Wording] = {}
    worder = Worder(database, settings_for(endpoint), Metrics("fusion"), shown_to_readers)
    job = asyncio.create_task(worder.run())
    await until(lambda: bool(shown_to_readers) or job.done())
    job.cancel()
    await asyncio.gather(job, return_exceptions=True)
    assert shown_to_readers.keys() == {FACTS}


async def test_facts_of_another_build_stop_nobody(database: Database, models: Models, endpoint: Endpoint) -> None:
    await fuse(database, models, *worried())
    async with database.transaction() as tx:
        await tx.execute("UPDATE llm_explanations SET facts = 'A_LATER_CODE:strong' WHERE facts IS NOT NULL")
    worder = Trial(database, settings_for(endpoint))
    await worder.word()
    assert (worder.outcomes, endpoint.asked) == ({"FAILED": 1.0}, [])


async def test_two_processes_dont_ask_the_same(database: Database, models: Models, endpoint: Endpoint) -> None:
    endpoint.reply = lambda _: None
    await fuse(database, models, *worried())
    first = asyncio.create_task(Trial(database, settings_for(endpoint)).word())
    await until(lambda: bool(endpoint.asked))
    await Trial(database, settings_for(endpoint)).word()
    assert len(endpoint.asked) == 1
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)


async def test_texts_change_no_row_that_follows_from_the_feed(
    database: Database, models: Models, second_database: Database, endpoint: Endpoint
) -> None:
    await fuse(database, models, *worried(4))
    await Trial(database, settings_for(endpoint)).word()
    rest = [committed(batch(number, *predictions(one))) for number, one in enumerate(worried()[4:], start=5)]
    await apply(database, models, rest)
    await Trial(database, settings_for(endpoint)).word()
    await fuse(second_database, models, *worried())
    assert await everything(second_database) == await everything(database)
    assert await table(second_database, "explanation_wordings") == []


async def test_what_an_operator_takes_away_is_shown_no_more(
    database: Database, models: Models, endpoint: Endpoint
) -> None:
    await fuse(database, models, *worried())
    worder = Trial(database, settings_for(endpoint))
    await worder.word()
    async with database.transaction() as tx:
        await tx.execute("UPDATE explanation_wordings SET text = NULL, attempts = :most", {"most": MOST_ATTEMPTS})
    await worder.word()
    assert worder.shown == {}
    assert len(endpoint.asked) == 1


async def test_logs_hold_neither_content_nor_key(database: Database, models: Models, endpoint: Endpoint) -> None:
    endpoint.reply = answering({"sentences": [{"text": "Marker of the test.", "facts": ["FACE_DISTRESS"]}]})
    await fuse(database, models, *worried())
    with capture_logs() as logs:
        await Trial(database, settings_for(endpoint)).word()
    told = repr(logs)
    assert "UNKNOWN_WORD" in told
    for hidden in ("Marker", "FACE_DISTRESS", KEY, endpoint.url):
        assert hidden not in told


def test_settings_may_be_named_shortly() -> None:
    environ = {"QUIETUS_LLM_URL": "https://llm.example/v1", "QUIETUS_FUSION_LLM_MODEL": "b", "QUIETUS_LLM_MODEL": "a"}
    settings = read_settings(FusionSettings, "fusion", environ)
    assert (settings.llm_url, settings.llm_model) == ("https://llm.example/v1", "b")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("QUIETUS_LLM_URL", "llm.example/v1"),
        ("QUIETUS_LLM_URL", "ftp://llm.example"),
        ("QUIETUS_LLM_API_KEY", "two words"),
        ("QUIETUS_LLM_API_KEY", "line\nfeed"),
        ("QUIETUS_LLM_MODEL", ""),
        ("QUIETUS_LLM_TIMEOUT_SECONDS", "0"),
        ("QUIETUS_LLM_REQUESTS_PER_MINUTE", "0"),
        ("QUIETUS_LLM_URI", "https://llm.example/v1"),
    ],
)
def test_settings_that_cant_be_taken_stop_the_start(name: str, value: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read_settings(FusionSettings, "fusion", {name: value})
    assert name.removeprefix("QUIETUS_").lower() in str(caught.value).lower()


def test_settings_dont_show_the_key() -> None:
    assert KEY not in repr(FusionSettings(llm_api_key=KEY))


async def test_a_client_that_cannot_be_made_ends_nothing(
    database: Database, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job that dies takes the process with it, and so all that is fused."""
    monkeypatch.setenv("ALL_PROXY", "gopher://127.0.0.1:1")
    metrics = Metrics("fusion")
    job = asyncio.create_task(Worder(database, settings_for(endpoint), metrics, {}).run())
    with capture_logs() as logs:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while not (job.done() or metrics.degraded_reasons):  # noqa: ASYNC110 - a metric tells nobody
                await asyncio.sleep(0.01)
    assert not job.done()
    assert metrics.degraded_reasons == [DEGRADED]
    assert [log["event"] for log in logs] == ["language_model_failed"]
    job.cancel()
    await asyncio.gather(job, return_exceptions=True)
