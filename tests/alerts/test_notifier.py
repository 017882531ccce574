"""Notifications reach a real HTTP server, at least once, with retries that end."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
from pydantic import ValidationError

from libs.common.db.database import Database
from libs.common.observability.metrics import Metrics
from libs.common.rpc.errors import AppError, ErrorKind
from services.alerts.notifier import Notifier
from services.alerts.records import Notification
from services.alerts.risk import Level
from services.alerts.settings import AlertsSettings
from services.alerts.store import facts, notifications
from tests.alerts.support import PERSON, START, follow_fusion, fused
from tests.conftest import MakeDatabase


class Receiver:
    """Answers each post with the next status, the last one for ever."""

    def __init__(self) -> None:
        self.statuses = [200]
        self.received: list[tuple[str, dict[str, str]]] = []

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        headers = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
        body = await reader.readexactly(int(headers["content-length"]))
        self.received.append((headers["idempotency-key"], json.loads(body)))
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        writer.write(f"HTTP/1.1 {status} x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".encode())
        await writer.drain()
        writer.close()


class Clock:
    def __init__(self) -> None:
        self.now = START + timedelta(hours=1)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
async def receiver() -> AsyncIterator[tuple[Receiver, str]]:
    receiver = Receiver()
    async with await asyncio.start_server(receiver.answer, "127.0.0.1", 0) as server:
        yield receiver, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/alerts"


async def state_and_kinds(database: Database) -> tuple[str, list[str]]:
    async with database.read() as tx:
        kinds = await tx.fetch_all("SELECT kind FROM alert_events ORDER BY event_time, kind")
        return await tx.scalar("SELECT state FROM risk_alerts"), [row.kind for row in kinds]


async def test_an_alert_is_posted_and_marked_notified(
    make_database: MakeDatabase, receiver: tuple[Receiver, str]
) -> None:
    database = make_database("alerts")
    web, url = receiver
    await follow_fusion(database, fused(1, Level.HIGH, 0.7))
    notifier = Notifier(database, AlertsSettings(webhook_url=url), Metrics("alerts"), Clock())
    async with httpx.AsyncClient() as client:
        assert await notifier.deliver_due(client) == 1
        assert await notifier.deliver_due(client) == 0
    (_, content), *more = web.received
    assert not more
    assert (content["level"], content["anonymous_id"]) == ("high", f"p_{PERSON.int}")
    assert await state_and_kinds(database) == ("notified", ["opened", "notified"])


async def test_a_failing_receiver_is_tried_again_with_the_same_key(
    make_database: MakeDatabase, receiver: tuple[Receiver, str]
) -> None:
    database = make_database("alerts")
    web, url = receiver
    web.statuses = [503, 200]
    clock = Clock()
    await follow_fusion(database, fused(1, Level.HIGH, 0.7))
    notifier = Notifier(database, AlertsSettings(webhook_url=url), Metrics("alerts"), clock)
    async with httpx.AsyncClient() as client:
        await notifier.deliver_due(client)
        assert await notifier.deliver_due(client) == 0, "not before the pause is over"
        clock.now += timedelta(seconds=1)
        assert await notifier.deliver_due(client) == 1
    first, second = web.received
    assert first == second
    assert (await state_and_kinds(database))[0] == "notified"


async def test_a_receiver_that_never_answers_well_is_given_up_and_told(
    make_database: MakeDatabase, receiver: tuple[Receiver, str]
) -> None:
    database = make_database("alerts")
    web, url = receiver
    web.statuses = [500]
    clock, metrics = Clock(), Metrics("alerts")
    await follow_fusion(database, fused(1, Level.HIGH, 0.7))
    notifier = Notifier(database, AlertsSettings(webhook_url=url, webhook_attempts=3), metrics, clock)
    async with httpx.AsyncClient() as client:
        for _ in range(5):
            await notifier.deliver_due(client)
            clock.now += timedelta(hours=1)
    assert len(web.received) == 3
    assert await state_and_kinds(database) == ("triggered", ["opened", "notification_failed"])
    assert metrics.degraded_reasons == ["notifications_fail"]


async def test_what_a_killed_notifier_had_claimed_is_delivered_after_its_lease(
    make_database: MakeDatabase, receiver: tuple[Receiver, str]
) -> None:
    database = make_database("alerts")
    web, url = receiver
    clock = Clock()
    await follow_fusion(database, fused(1, Level.HIGH, 0.7))
    notifier = Notifier(database, AlertsSettings(webhook_url=url), Metrics("alerts"), clock)
    async with httpx.AsyncClient(transport=httpx.MockTransport(_killed)) as dying:
        with pytest.raises(asyncio.CancelledError):
            await notifier.deliver_due(dying)
    async with httpx.AsyncClient() as client:
        assert await notifier.deliver_due(client) == 0, "the lease still stands"
        clock.now += timedelta(minutes=1)
        assert await notifier.deliver_due(client) == 1
    assert len(web.received) == 1


def _killed(request: httpx.Request) -> httpx.Response:
    raise asyncio.CancelledError


async def test_a_counselor_or_follower_at_the_same_moment_stops_no_notification(
    make_database: MakeDatabase, receiver: tuple[Receiver, str]
) -> None:
    database = make_database("alerts")
    _, url = receiver
    await follow_fusion(database, fused(1, Level.HIGH, 0.7))
    notifier = Notifier(database, AlertsSettings(webhook_url=url), Metrics("alerts"), Clock())
    async with httpx.AsyncClient() as client:
        async with database.transaction() as other:
            await facts.lock_person(other, PERSON)
            delivering = asyncio.create_task(notifier.deliver_due(client))
            await until_somebody_waits_for_a_lock(database)
            await other.execute("UPDATE risk_alerts SET version = version + 1")
        assert await delivering == 1
    assert await state_and_kinds(database) == ("notified", ["opened", "notified"])


async def until_somebody_waits_for_a_lock(database: Database) -> None:
    while True:
        async with database.read() as tx:
            waiting = (
                "SELECT true FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
            if await tx.scalar(waiting):
                return
        await asyncio.sleep(0.01)


async def test_a_slow_receiver_holds_up_one_notification_and_no_other(make_database: MakeDatabase) -> None:
    database = make_database("alerts")
    await follow_fusion(database, *(fused(1, Level.HIGH, 0.7, person=UUID(int=number)) for number in range(1, 4)))
    asked: list[str] = []
    all_asked = asyncio.Event()

    async def answer(request: httpx.Request) -> httpx.Response:
        asked.append(json.loads(request.content)["anonymous_id"])
        if len(asked) == 3:
            all_asked.set()
        await all_asked.wait()
        return httpx.Response(200)

    notifier = Notifier(database, AlertsSettings(webhook_url="http://webhook.test/"), Metrics("alerts"), Clock())
    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
        assert await notifier.deliver_due(client) == 3


async def test_an_answer_that_never_ends_is_a_failure(make_database: MakeDatabase) -> None:
    database = make_database("alerts")
    await follow_fusion(database, fused(1, Level.HIGH, 0.7))

    async def drip() -> AsyncIterator[bytes]:
        while True:
            yield b"."
            await asyncio.sleep(0)

    transport = httpx.MockTransport(lambda _: httpx.Response(503, content=drip()))
    notifier = Notifier(database, AlertsSettings(webhook_url="http://webhook.test/"), Metrics("alerts"), Clock())
    async with httpx.AsyncClient(transport=transport) as client, asyncio.timeout(20):
        assert await notifier.deliver_due(client) == 1
    async with database.read() as tx:
        assert await tx.scalar("SELECT last_failure FROM notifications") == "HTTP_503"


async def test_a_database_that_is_away_for_a_moment_does_not_end_the_notifier(
    make_database: MakeDatabase, receiver: tuple[Receiver, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    database = make_database("alerts")
    _, url = receiver
    away = [AppError(ErrorKind.UNAVAILABLE, "DATABASE_UNAVAILABLE")]
    asked_again = asyncio.Event()
    claim = notifications.claim

    async def sometimes(*arguments: Any) -> list[Notification]:
        if away:
            raise away.pop()
        asked_again.set()
        return await claim(*arguments)

    monkeypatch.setattr(notifications, "claim", sometimes)
    notifier = Notifier(database, AlertsSettings(webhook_url=url), Metrics("alerts"), Clock())
    running, asked = asyncio.create_task(notifier.run()), asyncio.create_task(asked_again.wait())
    await asyncio.wait({running, asked}, return_when=asyncio.FIRST_COMPLETED)
    assert asked_again.is_set()
    running.cancel()
    asked.cancel()
    await asyncio.gather(running, asked, return_exceptions=True)


def test_a_webhook_that_is_no_address_stops_the_start() -> None:
    for wrong in ("webhook.example/alerts", "ftp://webhook.example", "http://[::1/alerts", "https://"):
        with pytest.raises(ValidationError):
            AlertsSettings(webhook_url=wrong)
