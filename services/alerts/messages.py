"""Alerts as the contract says them."""

from libs.common.timestamps import to_timestamp
from quietus.alerts.v1 import alerts_pb2 as pb
from quietus.common.v1.types_pb2 import RiskLevel
from services.alerts.records import Alert, AlertEvent


def alert_message(alert: Alert) -> pb.Alert:
    return pb.Alert(
        alert_id=str(alert.alert_id),
        anonymous_id=alert.anonymous_id,
        level=RiskLevel.ValueType(alert.level),
        score=alert.score,
        risk_factors=alert.factors,
        interpretation=alert.interpretation,
        state=pb.AlertState.Value(f"ALERT_STATE_{alert.state.name}"),
        open_time=to_timestamp(alert.open_time),
        delayed=alert.delayed,
        capture_time=to_timestamp(alert.capture_time),
        counselor_anonymous_id=alert.counselor_anonymous_id,
        resolution_reason=resolution_reason(alert.resolution_reason),
        noise_reason=noise_reason(alert.noise_reason),
        resolve_time=to_timestamp(alert.resolve_time) if alert.resolve_time else None,
        etag=str(alert.version),
        session_id=str(alert.session_id),
    )


def event_message(sequence: int, event: AlertEvent) -> pb.AlertEvent:
    return pb.AlertEvent(
        sequence=sequence,
        kind=pb.AlertEventKind.Value(f"ALERT_EVENT_KIND_{event.kind.upper()}"),
        level=RiskLevel.ValueType(event.level),
        score=event.score,
        event_time=to_timestamp(event.event_time),
        counselor_anonymous_id=event.counselor_anonymous_id,
        source=event.source,
        session_id=str(event.session_id) if event.session_id else "",
        chunk_id=str(event.chunk_id) if event.chunk_id else "",
    )


def resolution_reason(name: str) -> "pb.ResolutionReason.ValueType":
    return pb.ResolutionReason.Value(f"RESOLUTION_REASON_{name.upper() or 'UNSPECIFIED'}")


def noise_reason(name: str) -> "pb.NoiseReason.ValueType":
    return pb.NoiseReason.Value(f"NOISE_REASON_{name.upper() or 'UNSPECIFIED'}")
