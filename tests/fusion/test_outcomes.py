"""Following alerts: how cases ended is kept once, and changes nothing that fusion derives."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from libs.common.db.database import Database
from libs.common.feed.follower import Follower
from libs.common.feed.handler import UnknownEvent
from libs.common.feed.outbox import OutboxEvent
from libs.common.feed.tail import Tail
from libs.common.observability.metrics import Metrics
from libs.common.rpc.client import Metadata
from libs.common.security.keyring import Keyring
from quietus.alerts.v1 import alerts_pb2 as alerts
from quietus.alerts.v1.alerts_pb2_grpc import AlertServiceStub
from quietus.alerts.v1.events_pb2 import Event
from quietus.common.v1.options_pb2 import ROLE_COUNSELOR
from quietus_edge.ids import uuid7
from services.alerts.app import make_servicers
from services.alerts.risk import Level as AlertsLevel
from services.alerts.settings import AlertsSettings
from services.fusion.alerts_follower import AlertsHandler
from services.fusion.app import make_keeper
from services.fusion.fold import Models
from services.fusion.settings import FusionSettings
from services.fusion.store import outcomes
from tests.alerts import support
from tests.common.rpc.harness import Serving, serving
from tests.conftest import MakeDatabase
from tests.fusion import make
from tests.fusion.events import apply, committed, everything, table, told
from tests.fusion.make import batch, chunk, predictions, said
from tests.fusion.outcomes import CLOSED, SAFE_NOW, changed, closed, follow_alerts

DISTRESS = [committed(batch(number, *predictions(chunk(number, text=said(0.9, 1.0))))) for number in range(1, 6)]


async def test_a_case_is_kept_as_it_was_told(database: Database) -> None:
    await follow_alerts(database, changed(), closed(noise_reason=alerts.NOISE_REASON_RECORDING), changed())
    (row,) = await table(database, "case_outcomes")
    assert row == {
        "alert_id": UUID(int=1),
        "user_id": make.USER_ID,
        "reason": "false_alarm",
        "noise_reason": "recording",
        "level": "high",
        "score": 0.6,
        "open_time": CLOSED - timedelta(hours=1),
        "close_time": CLOSED,
        "session_id": make.SESSION_ID,
        "chunk_id": make.window(0).chunk_id,
        "session_ids": [make.SESSION_ID],
        "patterns_alarmed": False,
    }


async def test_a_case_that_is_told_again_counts_once(database: Database) -> None:
    await follow_alerts(database, closed(), closed(), closed(2, SAFE_NOW))
    before = await table(database, "case_outcomes")
    await follow_alerts(database, closed())
    assert await table(database, "case_outcomes") == before
    assert len(before) == 2


async def test_outcomes_change_nothing_that_is_derived(
    database: Database, models: Models, second_database: Database
) -> None:
    """Whenever they come: before anything of the session, in between, or after all."""
    await apply(second_database, models, *([event] for event in DISTRESS))
    for number, event in enumerate(DISTRESS, start=1):
        await follow_alerts(database, closed(number))
        await apply(database, models, [event])
    await follow_alerts(database, closed(99, SAFE_NOW))
    assert await everything(database) == await everything(second_database)
    assert await told(database) == await told(second_database)


async def test_deleting_the_person_deletes_their_cases(database: Database) -> None:
    await follow_alerts(database, closed(), closed(2, user_id=uuid4()))
    async with database.transaction() as tx:
        await tx.execute("DELETE FROM users WHERE user_id = :id", {"id": make.USER_ID})
    (kept,) = await table(database, "case_outcomes")
    assert kept["alert_id"] == UUID(int=2)


async def test_old_cases_go_with_the_inputs_of_their_months(database: Database) -> None:
    now = datetime.now(UTC)
    old, kept = uuid7(now - timedelta(days=150)), uuid7(now - timedelta(days=60))
    cases = [closed(number, session_ids=[old]) for number in range(outcomes.EXPIRED_AT_ONCE + 1)]
    await follow_alerts(database, *cases, closed(9999, session_ids=[kept]))
    metrics = Metrics("fusion")
    await make_keeper(FusionSettings(retention_days=90), database, metrics).keep()
    assert [row["session_id"] for row in await table(database, "case_outcomes")] == [kept]
    audited = [row for row in await table(database, "audit_logs") if row["action"] == "retention.delete_case_outcomes"]
    assert sum(row["metadata"]["case_outcomes"] for row in audited) == len(cases)
    assert metrics.registry.get_sample_value("quietus_sessions_expired_total") == 0


async def test_what_isnt_known_stops_or_parks(database: Database) -> None:
    with pytest.raises(UnknownEvent):
        AlertsHandler().read(Event().SerializeToString())
    for unknown in (alerts.RESOLUTION_REASON_UNSPECIFIED, 77):
        with pytest.raises(ValueError, match=r"."):
            await follow_alerts(database, closed(1, unknown))
    assert await table(database, "case_outcomes") == []


class Token:
    def __init__(self, at: Serving) -> None:
        self._at = at

    async def metadata(self) -> Metadata:
        return self._at.tokens.metadata(service="fusion")


@asynccontextmanager
async def following(database: Database, at: Serving) -> AsyncIterator[Metrics]:
    metrics = Metrics("fusion")
    follower = Follower(
        database,
        source="alerts",
        follower="fusion",
        address=at.address,
        token=Token(at),
        handler=AlertsHandler(),
        metrics=metrics,
    )
    running = asyncio.create_task(follower.run())
    try:
        yield metrics
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@asynccontextmanager
async def alerts_serves(database: Database, folder: Path) -> AsyncIterator[Serving]:
    tail = Tail(database, Metrics("alerts"))
    running = asyncio.create_task(tail.run())
    try:
        keyring = Keyring.create(folder / "keyring.json")
        async with serving(make_servicers(AlertsSettings(), database, keyring, tail)) as at:
            yield at
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def outcomes_of(database: Database, cases: int) -> list[dict[str, object]]:
    """Once there are so many. The timeout bounds a hanging test."""
    async with asyncio.timeout(20):
        while len(found := await table(database, "case_outcomes")) < cases:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.02)
    return found


async def close_alert(at: Serving) -> None:
    stub = AlertServiceStub(at.channel)
    counselor = at.tokens.metadata(ROLE_COUNSELOR, UUID(int=91), "p_counselor")
    (alert,) = (await stub.ListAlerts(alerts.ListAlertsRequest(), metadata=counselor)).alerts
    request = alerts.ResolveAlertRequest(
        request_id=str(uuid4()), alert_id=alert.alert_id, etag=alert.etag, reason=alerts.RESOLUTION_REASON_SAFE_NOW
    )
    await stub.ResolveAlert(request, metadata=counselor)


async def test_a_counselors_word_reaches_fusion_by_the_feed(
    database: Database, make_database: MakeDatabase, tmp_path: Path
) -> None:
    source = make_database("alerts")
    await support.follow_fusion(source, support.fused(1, AlertsLevel.HIGH, 0.7))
    async with alerts_serves(source, tmp_path) as at, following(database, at) as metrics:
        await close_alert(at)
        (row,) = await outcomes_of(database, 1)
        assert (row["reason"], row["session_ids"]) == ("safe_now", [support.SESSION])
        assert metrics.degraded_reasons == []


async def test_a_rebuilt_slice_hears_the_same_from_the_tables(
    database: Database, second_database: Database, make_database: MakeDatabase, tmp_path: Path
) -> None:
    source = make_database("alerts")
    await support.follow_fusion(source, support.fused(1, AlertsLevel.HIGH, 0.7))
    async with alerts_serves(source, tmp_path) as at:
        async with following(database, at):
            await close_alert(at)
            live = await outcomes_of(database, 1)
        async with source.transaction() as tx:
            await tx.execute("DELETE FROM outbox")
            await tx.execute("UPDATE feed_head SET pruned_position = position")
        async with following(second_database, at):
            assert await outcomes_of(second_database, 1) == live


async def test_a_case_that_cant_be_read_parks_its_person_alone(
    database: Database, make_database: MakeDatabase, tmp_path: Path
) -> None:
    source, other = make_database("alerts"), uuid4()
    async with source.transaction() as tx:
        tx.append_to_outbox([OutboxEvent(make.USER_ID, closed(1, 77)), OutboxEvent(other, closed(2, user_id=other))])
        tx.append_to_outbox([OutboxEvent(make.USER_ID, closed(3))])
    async with alerts_serves(source, tmp_path) as at, following(database, at) as metrics:
        (row,) = await outcomes_of(database, 1)
        assert row["user_id"] == other
        async with asyncio.timeout(20):
            while metrics.degraded_reasons != ["parked_events:alerts"]:  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.02)
    parked = await table(database, "parked_events")
    assert [(one["source"], one["user_id"]) for one in parked] == [("alerts", make.USER_ID)] * 2
