"""The generator of many devices counts what happens to their streams, against a real ingest."""

import asyncio
from datetime import timedelta

import pytest

from bench.load import devices
from bench.load.plan import Plan
from tests.conftest import MakeDatabase
from tests.ingest import make
from tests.ingest.suite import PATIENCE_SECONDS, Person, Suite, running, token

STREAMS = 20
BATCH_SIZE = 3
# A batch of each device every 100 ms.
RATE = STREAMS * BATCH_SIZE * 10


def plan(suite: Suite, sessions: list[tuple[str, str]], seconds: float = 1.0) -> Plan:
    host, port = suite.address.rsplit(":", 1)
    return Plan(host, int(port), sessions, BATCH_SIZE, 1, 0.0, seconds, RATE * len(sessions) / STREAMS)


def bearer_of(person: Person) -> str:
    return dict(person.metadata)["authorization"].removeprefix("Bearer ")


async def open_sessions(person: Person, count: int) -> list[tuple[str, str]]:
    return [(str(await person.start_session(make.now())), bearer_of(person)) for _ in range(count)]


async def test_every_device_sends_and_every_batch_is_stored(make_database: MakeDatabase) -> None:
    async with running(make_database("ingest")) as suite:
        result = await devices.run(plan(suite, await open_sessions(suite.person(), STREAMS)))
        stored = sum([await suite.count(f"{name}_predictions") for name in ("vision", "audio", "text")])
        senders = await suite.count("(SELECT DISTINCT session_id FROM text_predictions) AS sessions")
    assert (result["streams"], result["errors"], result["reasons"]) == (STREAMS, 0, [])
    assert stored == BATCH_SIZE * int(str(result["batches"]))
    assert senders == STREAMS


async def test_a_stream_that_may_not_open_is_one_error(make_database: MakeDatabase) -> None:
    async with running(make_database("ingest")) as suite:
        person = suite.person()
        sessions = await open_sessions(person, STREAMS)
        expired = token(person.user_id, person.anonymous_id, expires_in=timedelta(seconds=-5))
        sessions[3] = (sessions[3][0], dict(expired)["authorization"].removeprefix("Bearer "))
        result = await devices.run(plan(suite, sessions))
    assert (result["errors"], result["reasons"]) == (1, ["not opened"])


async def test_streams_that_end_are_errors(make_database: MakeDatabase) -> None:
    """The server ends a stream half a minute before its token expires."""
    async with running(make_database("ingest")) as suite:
        person = suite.person()
        sessions = await open_sessions(person, STREAMS)
        soon = dict(token(person.user_id, person.anonymous_id, expires_in=timedelta(seconds=34)))
        expiring = [(session_id, soon["authorization"].removeprefix("Bearer ")) for session_id, _ in sessions]
        result = await devices.run(plan(suite, expiring, seconds=6.0))
    assert (result["errors"], result["reasons"]) == (STREAMS, ["trailers"])


async def test_a_batch_that_nobody_acknowledges_is_an_error(
    make_database: MakeDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody holds the session, so its predictions can't be committed."""
    monkeypatch.setattr(devices, "ANSWER_SECONDS", 0.5)
    database = make_database("ingest", 4)
    async with running(database) as suite:
        sessions = await open_sessions(suite.person(), 2)
        load = asyncio.create_task(devices.run(plan(suite, sessions, seconds=3.0)))
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not await suite.count("text_predictions"):  # noqa: ASYNC110 - the database tells nobody
                await asyncio.sleep(0.02)
        async with database.transaction() as tx:
            await tx.execute("SELECT id FROM sessions WHERE id = :id FOR UPDATE", {"id": sessions[0][0]})
            result = await load
    assert result["errors"]
    assert result["reasons"] == ["no acknowledgement"]
