"""How a case ended is told once, with what it rested on, and told anew as the same."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import grpc
import pytest

from libs.common.db.database import Database
from libs.common.feed.tail import Tail
from libs.common.observability.metrics import Metrics
from libs.common.rpc.client import Metadata
from libs.common.rpc.errors import reason_of
from libs.common.security.keyring import Keyring
from libs.common.timestamps import to_datetime
from quietus.alerts.v1 import alerts_pb2 as pb
from quietus.alerts.v1.alerts_pb2_grpc import AlertServiceStub
from quietus.alerts.v1.events_pb2 import Event
from quietus.common.v1.feed_pb2 import FeedPayload
from quietus.common.v1.options_pb2 import ROLE_COUNSELOR
from services.alerts.app import make_servicers
from services.alerts.backfill import OpenAndClosed
from services.alerts.risk import Level
from services.alerts.settings import AlertsSettings
from tests.alerts.support import PERSON, SESSION, START, assessed, follow_fusion, follow_patterns, fused
from tests.common.rpc.harness import serving
from tests.conftest import MakeDatabase

if TYPE_CHECKING:
    from quietus.alerts.v1.alerts_pb2_grpc import AlertServiceAsyncStub

OTHER_SESSION = UUID("00000000-0000-7000-8000-00000000000b")


@dataclass
class Ward:
    """A serving slice, a counselor, and a clock that stands still."""

    database: Database
    now: list[timedelta] = field(default_factory=lambda: [timedelta(0)])
    stub: "AlertServiceAsyncStub" = field(init=False)
    counselor: Metadata = field(init=False)

    async def close(
        self,
        minute: int,
        reason: "pb.ResolutionReason.ValueType",
        noise_reason: "pb.NoiseReason.ValueType" = pb.NOISE_REASON_UNSPECIFIED,
    ) -> pb.ResolveAlertRequest:
        """Resolves the open alert at a minute; returns what was asked."""
        self.now[0] = timedelta(minutes=minute)
        (alert,) = (await self.stub.ListAlerts(pb.ListAlertsRequest(), metadata=self.counselor)).alerts
        request = pb.ResolveAlertRequest(
            request_id=str(uuid4()),
            alert_id=alert.alert_id,
            etag=alert.etag,
            reason=reason,
            noise_reason=noise_reason,
        )
        await self.stub.ResolveAlert(request, metadata=self.counselor)
        return request

    async def told(self) -> list[Event]:
        async with self.database.read() as tx:
            rows = await tx.fetch_all("SELECT payload FROM outbox ORDER BY partition, position")
        return [Event.FromString(event) for row in rows for event in FeedPayload.FromString(row.payload).events]


@pytest.fixture
async def ward(make_database: MakeDatabase, tmp_path: Path) -> AsyncIterator[Ward]:
    made = Ward(make_database("alerts"))
    parts = make_servicers(
        AlertsSettings(),
        made.database,
        Keyring.create(tmp_path / "keyring.json"),
        Tail(made.database, Metrics("alerts")),
        lambda: START + made.now[0],
    )
    async with serving(parts) as server:
        made.stub = AlertServiceStub(server.channel)
        made.counselor = server.tokens.metadata(ROLE_COUNSELOR, UUID(int=91), "p_first")
        yield made


async def test_a_closed_case_says_what_it_was_and_on_what_it_rested(ward: Ward) -> None:
    await follow_fusion(ward.database, fused(1, Level.HIGH, 0.7), fused(2, Level.MEDIUM, 0.4))
    await follow_fusion(ward.database, fused(3, Level.CRITICAL, 0.9, session=OTHER_SESSION))
    await follow_patterns(ward.database, assessed(4, Level.MEDIUM, 0.5))
    await ward.close(10, pb.RESOLUTION_REASON_FALSE_ALARM, pb.NOISE_REASON_ANOTHER_PERSON)
    *_, closing, changed = await ward.told()
    closed = closing.case_closed
    assert (closed.user_id, closed.anonymous_id) == (str(PERSON), f"p_{PERSON.int}")
    assert (closed.reason, closed.noise_reason) == (pb.RESOLUTION_REASON_FALSE_ALARM, pb.NOISE_REASON_ANOTHER_PERSON)
    assert (closed.level, closed.score) == (Level.CRITICAL, 0.9)
    assert (closed.session_id, closed.chunk_id) == (str(SESSION), str(UUID(int=1001)))
    assert list(closed.fusion_session_ids) == [str(SESSION), str(OTHER_SESSION)]
    assert not closed.patterns_alarmed
    assert to_datetime(closed.resolve_time) == START + timedelta(minutes=10)
    assert changed.alert_changed.alert.noise_reason == pb.NOISE_REASON_ANOTHER_PERSON


async def test_a_case_begins_after_the_one_before_it(ward: Ward) -> None:
    await follow_fusion(ward.database, fused(1, Level.CRITICAL, 0.9))
    await ward.close(10, pb.RESOLUTION_REASON_SAFE_NOW)
    await follow_fusion(ward.database, fused(20, Level.CRITICAL, 0.95, session=OTHER_SESSION))
    await follow_patterns(ward.database, assessed(21, Level.HIGH, 0.8))
    await ward.close(30, pb.RESOLUTION_REASON_HANDED_OVER)
    first, second = (event.case_closed for event in await ward.told() if event.HasField("case_closed"))
    assert (list(first.fusion_session_ids), first.patterns_alarmed) == ([str(SESSION)], False)
    assert (list(second.fusion_session_ids), second.patterns_alarmed) == ([str(OTHER_SESSION)], True)


async def test_a_repeated_call_closes_no_second_case(ward: Ward) -> None:
    await follow_fusion(ward.database, fused(1, Level.HIGH, 0.7))
    request = await ward.close(10, pb.RESOLUTION_REASON_UNREACHABLE)
    await ward.stub.ResolveAlert(request, metadata=ward.counselor)
    assert sum(event.HasField("case_closed") for event in await ward.told()) == 1


async def test_a_backfill_tells_a_case_as_it_was_told(ward: Ward) -> None:
    await follow_fusion(ward.database, fused(1, Level.HIGH, 0.7))
    await ward.close(10, pb.RESOLUTION_REASON_FALSE_ALARM)
    # Received while it was open, and heard of too late: the case stays what it was.
    await follow_fusion(ward.database, fused(5, Level.HIGH, 0.8, session=OTHER_SESSION))
    told = await ward.told()
    async with ward.database.read() as tx:
        anew = [Event.FromString(one.event) async for one in OpenAndClosed().events(tx)]
    assert anew == told[-2:]
    assert anew[0].HasField("case_closed")


async def test_a_case_from_before_that_was_written_down_rests_on_what_opened_it(ward: Ward) -> None:
    await follow_fusion(ward.database, fused(1, Level.HIGH, 0.7))
    await ward.close(10, pb.RESOLUTION_REASON_FALSE_ALARM)
    async with ward.database.transaction() as tx:
        await tx.execute(
            "UPDATE risk_alerts SET noise_reason = NULL, fusion_session_ids = NULL, patterns_alarmed = NULL"
        )
    async with ward.database.read() as tx:
        closed, _ = [Event.FromString(one.event) async for one in OpenAndClosed().events(tx)]
    assert list(closed.case_closed.fusion_session_ids) == [str(SESSION)]


@pytest.mark.parametrize(
    ("reason", "noise_reason"),
    [(pb.RESOLUTION_REASON_SAFE_NOW, pb.NOISE_REASON_HABITUAL), (pb.RESOLUTION_REASON_FALSE_ALARM, 77)],
)
async def test_a_noise_reason_is_one_of_a_false_alarm(
    ward: Ward, reason: "pb.ResolutionReason.ValueType", noise_reason: "pb.NoiseReason.ValueType"
) -> None:
    await follow_fusion(ward.database, fused(1, Level.HIGH, 0.7))
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await ward.close(10, reason, noise_reason)
    assert (refused.value.code(), reason_of(refused.value)) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
