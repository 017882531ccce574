"""The whole road: what a device says of a person in danger is an alert, which a counselor takes and resolves."""

from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest

from deploy.demo import duty
from deploy.demo.people import CALL_SECONDS, Person, edge_client, make_person
from deploy.demo.suite import Suite as Client
from quietus.alerts.v1 import alerts_pb2 as pb
from quietus.alerts.v1.alerts_pb2_grpc import AlertServiceStub
from quietus.common.v1.types_pb2 import RISK_LEVEL_CRITICAL
from quietus.patterns.v1.patterns_pb2 import CRISIS_PROMINENCE_CARD, GetInterfaceRequest
from quietus.patterns.v1.patterns_pb2_grpc import PatternServiceStub
from quietus_edge.simulation import generate
from tests.e2e.polling import eventually
from tests.e2e.snapshot import Snapshot
from tests.e2e.suite import Suite

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def send_crisis(client: Client, person: Person, spool: Path) -> None:
    """One session in acute danger, as an app would send it."""
    (simulated,) = generate("crisis", 1, datetime.now(UTC), weeks=1, sessions_per_week=1, chunks_per_session=3)
    async with edge_client(client, person, spool) as edge:
        async with edge.session(start=simulated.start, session_id=simulated.session_id) as session:
            for one in simulated.chunks:
                await session.record(vision=one.vision, audio=one.audio, text=one.text, chunk=one.chunk)
        await edge.flush(CALL_SECONDS)


async def open_alerts_of(client: Client, person: Person, counselor: Person) -> list[pb.Alert]:
    request = pb.ListAlertsRequest(anonymous_id=person.anonymous_id)
    alerts = AlertServiceStub(client.channels["alerts"])
    return list((await alerts.ListAlerts(request, metadata=counselor.token, timeout=CALL_SECONDS)).alerts)


async def outcome_lacking(suite: Suite, alert_id: str) -> str:
    """What fusion doesn't know of the case yet."""
    connection = await asyncpg.connect(suite.dsn)
    try:
        query = "SELECT reason FROM fusion.case_outcomes WHERE alert_id = $1"
        reason = await connection.fetchval(query, UUID(alert_id))
    finally:
        await connection.close()
    return "" if reason == "safe_now" else f"it is {reason}"


async def test_danger_opens_one_alert_that_a_counselor_resolves(
    snapshot: Snapshot, suite: Suite, client: Client, tmp_path: Path
) -> None:
    counselor = snapshot.counselor
    person = await make_person(client, "somebody", counselor)
    await send_crisis(client, person, tmp_path / "spool")
    shown = await duty.open_alerts(client, counselor, {person.anonymous_id})
    (alert,) = [one for one in shown if one.anonymous_id == person.anonymous_id]
    assert (alert.level, alert.delayed) == (RISK_LEVEL_CRITICAL, False)
    assert alert.risk_factors[0] == "CRITICAL_CUE"

    await send_crisis(client, person, tmp_path / "spool")
    await suite.settled()
    assert [one.alert_id for one in await open_alerts_of(client, person, counselor)] == [alert.alert_id]
    interface = await PatternServiceStub(client.channels["patterns"]).GetInterface(
        GetInterfaceRequest(), metadata=person.token, timeout=CALL_SECONDS
    )
    assert interface.interface.crisis_prominence > CRISIS_PROMINENCE_CARD

    life = await duty.work_through(client, counselor, alert)
    assert life.alert.state == pb.ALERT_STATE_RESOLVED
    kinds = [event.kind for event in life.events]
    assert kinds[0] == pb.ALERT_EVENT_KIND_OPENED
    assert kinds[-3:] == [
        pb.ALERT_EVENT_KIND_ACKNOWLEDGED,
        pb.ALERT_EVENT_KIND_RESPONDED,
        pb.ALERT_EVENT_KIND_RESOLVED,
    ]
    assert not await open_alerts_of(client, person, counselor)
    await eventually(lambda: outcome_lacking(suite, alert.alert_id), "fusion hears how the case ended")
