"""Notifications reach a real HTTP server, at least once, with retries that end."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import httpx
import pytest

from libs.common.db.database import Database
from services.alerts.notifier import Notifier
from services.alerts.risk import Level
from services.alerts.settings import AlertsSettings
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
    notifier = Notifier(database, AlertsSettings(webhook_url=url), Clock())
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
    notifier = Notifier(database, AlertsSettings(webhook_url=url), clock)
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
    clock = Clock()
    await follow_fusion(database, fused(1, Level.HIGH, 0.7))
    notifier = Notifier(database, AlertsSettings(webhook_url=url, webhook_attempts=3), clock)
    async with httpx.AsyncClient() as client:
        for _ in range(5):
            await notifier.deliver_due(client)
            clock.now += timedelta(hours=1)
    assert len(web.received) == 3
    assert await state_and_kinds(database) == ("triggered", ["opened", "notification_failed"])


async def test_what_a_killed_notifier_had_claimed_is_delivered_after_its_lease(
    make_database: MakeDatabase, receiver: tuple[Receiver, str]
) -> None:
    database = make_database("alerts")
    web, url = receiver
    clock = Clock()
    await follow_fusion(database, fused(1, Level.HIGH, 0.7))
    notifier = Notifier(database, AlertsSettings(webhook_url=url), clock)
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
