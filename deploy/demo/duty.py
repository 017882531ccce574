"""A counselor on duty: sees alerts as they open, takes, answers and resolves them."""

from typing import TYPE_CHECKING
from uuid import uuid4

from deploy.demo.people import CALL_SECONDS, Person
from deploy.demo.suite import Suite
from quietus.alerts.v1 import alerts_pb2 as pb
from quietus.alerts.v1.alerts_pb2_grpc import AlertServiceStub

if TYPE_CHECKING:
    from quietus.alerts.v1.alerts_pb2_grpc import AlertServiceAsyncStub


async def open_alerts(suite: Suite, counselor: Person, expected: set[str]) -> list[pb.Alert]:
    """Watches until there is an open alert for each of the expected anonymous ids; returns every open alert."""
    alerts: dict[str, pb.Alert] = {}
    watching = AlertServiceStub(suite.channels["alerts"]).WatchAlerts(
        pb.WatchAlertsRequest(), metadata=counselor.token, timeout=CALL_SECONDS
    )
    all_shown = False
    async for response in watching:
        if response.HasField("alert"):
            alerts[response.alert.anonymous_id] = response.alert
        else:
            all_shown = True
        if all_shown and expected <= alerts.keys():
            break
    watching.cancel()
    return list(alerts.values())


async def work_through(suite: Suite, counselor: Person, alert: pb.Alert) -> pb.GetAlertResponse:
    """From acknowledged to resolved; returns the alert's whole life."""
    stub = AlertServiceStub(suite.channels["alerts"])

    def request_id() -> str:
        return str(uuid4())

    # A notification or a newer result may come in between: the newest etag counts.
    etag = (await _life(stub, counselor, alert.alert_id)).alert.etag
    acknowledged = await stub.AcknowledgeAlert(
        pb.AcknowledgeAlertRequest(request_id=request_id(), alert_id=alert.alert_id, etag=etag),
        metadata=counselor.token,
        timeout=CALL_SECONDS,
    )
    responded = await stub.RespondToAlert(
        pb.RespondToAlertRequest(
            request_id=request_id(), alert_id=alert.alert_id, etag=acknowledged.alert.etag, notes="Called back."
        ),
        metadata=counselor.token,
        timeout=CALL_SECONDS,
    )
    await stub.ResolveAlert(
        pb.ResolveAlertRequest(
            request_id=request_id(),
            alert_id=alert.alert_id,
            etag=responded.alert.etag,
            reason=pb.RESOLUTION_REASON_SAFE_NOW,
        ),
        metadata=counselor.token,
        timeout=CALL_SECONDS,
    )
    return await _life(stub, counselor, alert.alert_id)


async def _life(stub: "AlertServiceAsyncStub", counselor: Person, alert_id: str) -> pb.GetAlertResponse:
    return await stub.GetAlert(pb.GetAlertRequest(alert_id=alert_id), metadata=counselor.token, timeout=CALL_SECONDS)
