"""What counselors see and do, over a real channel."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import grpc
import pytest

from libs.common.db import audit
from libs.common.db.database import Database
from libs.common.feed.tail import Tail
from libs.common.observability.metrics import Metrics
from libs.common.rpc.client import Metadata
from libs.common.rpc.errors import reason_of
from libs.common.security.keyring import Keyring
from quietus.alerts.v1 import alerts_pb2 as pb
from quietus.alerts.v1.alerts_pb2_grpc import AlertServiceStub
from quietus.common.v1.options_pb2 import ROLE_COUNSELOR, ROLE_USER
from services.alerts.app import make_servicers
from services.alerts.risk import Level
from services.alerts.settings import AlertsSettings
from services.alerts.watching import Watchers
from tests.alerts.support import PERSON, follow_fusion, fused
from tests.common.rpc.harness import serving
from tests.conftest import MakeDatabase

if TYPE_CHECKING:
    from quietus.alerts.v1.alerts_pb2_grpc import AlertServiceAsyncStub


@dataclass(frozen=True)
class Ward:
    """A serving slice with one open alert, and two counselors."""

    stub: "AlertServiceAsyncStub"
    database: Database
    first: Metadata
    second: Metadata
    person: Metadata


@pytest.fixture
async def ward(make_database: MakeDatabase, tmp_path: Path) -> AsyncIterator[Ward]:
    database = make_database("alerts")
    keyring = Keyring.create(tmp_path / "keyring.json")
    await follow_fusion(database, fused(1, Level.HIGH, 0.7))
    parts = make_servicers(AlertsSettings(), database, keyring, Tail(database, Metrics("alerts")))
    async with serving(parts) as server:
        yield Ward(
            AlertServiceStub(server.channel),
            database,
            server.tokens.metadata(ROLE_COUNSELOR, UUID(int=91), "p_first"),
            server.tokens.metadata(ROLE_COUNSELOR, UUID(int=92), "p_second"),
            server.tokens.metadata(ROLE_USER, PERSON, "p_person"),
        )


async def only_alert(ward: Ward, token: Metadata) -> pb.Alert:
    listed = await ward.stub.ListAlerts(pb.ListAlertsRequest(), metadata=token)
    assert len(listed.alerts) == 1
    return listed.alerts[0]


async def test_a_counselor_takes_answers_and_resolves(ward: Ward) -> None:
    alert = await only_alert(ward, ward.first)
    taken = await ward.stub.AcknowledgeAlert(
        pb.AcknowledgeAlertRequest(request_id=str(uuid4()), alert_id=alert.alert_id, etag=alert.etag),
        metadata=ward.first,
    )
    answered = await ward.stub.RespondToAlert(
        pb.RespondToAlertRequest(
            request_id=str(uuid4()), alert_id=alert.alert_id, etag=taken.alert.etag, notes="marker words"
        ),
        metadata=ward.first,
    )
    await ward.stub.ResolveAlert(
        pb.ResolveAlertRequest(
            request_id=str(uuid4()),
            alert_id=alert.alert_id,
            etag=answered.alert.etag,
            reason=pb.RESOLUTION_REASON_SAFE_NOW,
        ),
        metadata=ward.first,
    )
    life = await ward.stub.GetAlert(pb.GetAlertRequest(alert_id=alert.alert_id), metadata=ward.first)
    assert [event.kind for event in life.events] == [
        pb.ALERT_EVENT_KIND_OPENED,
        pb.ALERT_EVENT_KIND_ACKNOWLEDGED,
        pb.ALERT_EVENT_KIND_RESPONDED,
        pb.ALERT_EVENT_KIND_RESOLVED,
    ]
    assert life.alert.state == pb.ALERT_STATE_RESOLVED
    async with ward.database.read() as tx:
        row = await tx.fetch_one("SELECT row_to_json(risk_alerts) AS row, counselor_response FROM risk_alerts")
        assert row is not None
        assert row.counselor_response
        assert "marker" not in json.dumps(row.row)
        assert await audit.verify_chain(tx) > 0


async def test_two_counselors_can_not_overwrite_each_other(ward: Ward) -> None:
    alert = await only_alert(ward, ward.first)
    request = pb.AcknowledgeAlertRequest(request_id=str(uuid4()), alert_id=alert.alert_id, etag=alert.etag)
    await ward.stub.AcknowledgeAlert(request, metadata=ward.first)
    late = pb.AcknowledgeAlertRequest(request_id=str(uuid4()), alert_id=alert.alert_id, etag=alert.etag)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await ward.stub.AcknowledgeAlert(late, metadata=ward.second)
    assert (refused.value.code(), reason_of(refused.value)) == (grpc.StatusCode.ABORTED, "ETAG_MISMATCH")


async def test_a_repeated_command_is_carried_out_once(ward: Ward) -> None:
    alert = await only_alert(ward, ward.first)
    request = pb.AcknowledgeAlertRequest(request_id=str(uuid4()), alert_id=alert.alert_id, etag=alert.etag)
    first = await ward.stub.AcknowledgeAlert(request, metadata=ward.first)
    again = await ward.stub.AcknowledgeAlert(request, metadata=ward.first)
    assert again.alert == first.alert
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await ward.stub.AcknowledgeAlert(request, metadata=ward.second)
    assert reason_of(refused.value) == "REQUEST_ID_REUSED"


async def test_a_newer_result_makes_an_old_etag_stale(ward: Ward) -> None:
    alert = await only_alert(ward, ward.first)
    await follow_fusion(ward.database, fused(2, Level.CRITICAL, 0.95))
    request = pb.AcknowledgeAlertRequest(request_id=str(uuid4()), alert_id=alert.alert_id, etag=alert.etag)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await ward.stub.AcknowledgeAlert(request, metadata=ward.first)
    assert reason_of(refused.value) == "ETAG_MISMATCH"


async def test_watching_shows_what_is_open_and_then_every_change(ward: Ward) -> None:
    watching = ward.stub.WatchAlerts(pb.WatchAlertsRequest(), metadata=ward.first)
    shown = await watching.read()
    assert isinstance(shown, pb.WatchAlertsResponse)
    assert shown.alert.level == Level.HIGH
    end_of_open = await watching.read()
    assert isinstance(end_of_open, pb.WatchAlertsResponse)
    assert not end_of_open.HasField("alert")
    await follow_fusion(ward.database, fused(2, Level.CRITICAL, 0.95))
    changed = await watching.read()
    assert isinstance(changed, pb.WatchAlertsResponse)
    assert changed.alert.level == Level.CRITICAL
    watching.cancel()


async def test_others_than_counselors_see_nothing(ward: Ward) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await ward.stub.ListAlerts(pb.ListAlertsRequest(), metadata=ward.person)
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_a_resolved_alert_is_seen_by_who_handled_it_alone(ward: Ward) -> None:
    alert = await only_alert(ward, ward.first)
    await ward.stub.ResolveAlert(
        pb.ResolveAlertRequest(
            request_id=str(uuid4()),
            alert_id=alert.alert_id,
            etag=alert.etag,
            reason=pb.RESOLUTION_REASON_FALSE_ALARM,
        ),
        metadata=ward.first,
    )
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await ward.stub.GetAlert(pb.GetAlertRequest(alert_id=alert.alert_id), metadata=ward.second)
    assert reason_of(refused.value) == "ALERT_NOT_FOUND"
    resolved = await ward.stub.ListAlerts(pb.ListAlertsRequest(include_resolved=True), metadata=ward.first)
    assert [one.alert_id for one in resolved.alerts] == [alert.alert_id]


async def test_pages_go_on_where_the_last_one_ended(ward: Ward) -> None:
    people = [UUID(int=1000 + number) for number in range(4)]
    await follow_fusion(
        ward.database,
        *(fused(10 + number, Level.CRITICAL, 0.9, person=person) for number, person in enumerate(people)),
    )
    seen: list[str] = []
    token = ""
    while True:
        page = await ward.stub.ListAlerts(pb.ListAlertsRequest(page_size=2, page_token=token), metadata=ward.first)
        seen += [alert.anonymous_id for alert in page.alerts]
        token = page.next_page_token
        if not token:
            break
    assert seen == [*(f"p_{person.int}" for person in people), f"p_{PERSON.int}"]


async def test_watchers_look_again_after_a_change_of_an_alert_alone(
    make_database: MakeDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The notifier alone commits twice a second."""
    database, wakes = make_database("alerts"), list[object]()
    monkeypatch.setattr(Watchers, "published", lambda _, batches: wakes.append(batches))
    keyring = Keyring.create(tmp_path / "keyring.json")
    make_servicers(AlertsSettings(), database, keyring, Tail(database, Metrics("alerts")))
    async with database.transaction() as tx:
        await tx.execute("SELECT 1")
    assert not wakes
    await follow_fusion(database, fused(1, Level.HIGH, 0.7))
    assert len(wakes) == 1
