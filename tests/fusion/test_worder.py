"""Facts are worded by a real endpoint: which are asked about, by whom, and what is shown."""

import asyncio
import re

import orjson

from libs.common.db.database import Database
from libs.common.observability.metrics import Metrics
from services.fusion.explanation import Wording
from services.fusion.fold import Models
from services.fusion.service.worder import BURST, MOST_ATTEMPTS, Worder
from services.fusion.vocabulary import CrisisSignal
from services.fusion.wording import PROMPT_VERSION
from tests.fusion import make
from tests.fusion.endpoint import Endpoint
from tests.fusion.events import apply, committed, everything, table
from tests.fusion.make import batch, chunk, predictions, said, shown
from tests.fusion.wording_trial import (
    FACTS,
    KEY,
    TIMEOUT_SECONDS,
    WORRIED,
    Trial,
    fuse,
    fuse_many,
    session,
    settings_for,
    until,
    worried,
)


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
