"""An endpoint that lies, stalls, answers rubbish or is dead leaves the template, and fusion goes on."""

import asyncio
import gzip
from collections.abc import Callable

import pytest
from structlog.testing import capture_logs

from libs.common.db.database import Database
from libs.common.observability.metrics import Metrics
from services.fusion.fold import Models
from services.fusion.service.language_model import MOST_ANSWER_BYTES
from services.fusion.service.worder import DEGRADED, FAILURES_IN_A_ROW, MOST_ATTEMPTS, Worder
from services.fusion.wording import Refusal
from tests.fusion.endpoint import Asked, Endpoint, Reply, answering, completion, honest
from tests.fusion.events import apply, committed, ended, table
from tests.fusion.make import batch, chunk, predictions
from tests.fusion.wording_trial import (
    FACTS,
    KEY,
    TIMEOUT_SECONDS,
    WORRIED,
    Trial,
    fuse,
    fuse_many,
    settings_for,
    until,
    wait_no_longer,
    worried,
)

STALLED_SECONDS = 0.2

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


async def test_who_has_nothing_left_to_ask_about_fails_no_more(
    database: Database, models: Models, endpoint: Endpoint
) -> None:
    endpoint.reply = lambda _: Reply(b"", 503)
    await fuse_many(database, models)
    worder = Trial(database, settings_for(endpoint))
    await worder.word()
    assert worder.is_degraded
    worder.now += 30
    await worder.word()
    assert worder.is_degraded  # what got no answer is asked about again, later
    async with database.transaction() as tx:
        await tx.execute("UPDATE explanation_wordings SET text = 'Words.'")
        await tx.execute(
            "DELETE FROM llm_explanations e WHERE NOT EXISTS"
            " (SELECT FROM explanation_wordings w WHERE w.facts = e.facts)"
        )
    await worder.word()
    assert not worder.is_degraded


async def test_facts_of_another_build_stop_nobody(database: Database, models: Models, endpoint: Endpoint) -> None:
    await fuse(database, models, *worried())
    async with database.transaction() as tx:
        await tx.execute("UPDATE llm_explanations SET facts = 'A_LATER_CODE:strong' WHERE facts IS NOT NULL")
    worder = Trial(database, settings_for(endpoint))
    await worder.word()
    assert (worder.outcomes, endpoint.asked) == ({"FAILED": 1.0}, [])


async def test_logs_hold_neither_content_nor_key(database: Database, models: Models, endpoint: Endpoint) -> None:
    endpoint.reply = answering({"sentences": [{"text": "Marker of the test.", "facts": ["FACE_DISTRESS"]}]})
    await fuse(database, models, *worried())
    with capture_logs() as logs:
        await Trial(database, settings_for(endpoint)).word()
    told = repr(logs)
    assert "UNKNOWN_WORD" in told
    for hidden in ("Marker", "FACE_DISTRESS", KEY, endpoint.url):
        assert hidden not in told


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
