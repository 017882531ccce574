"""AlertService: contract in, use case, contract out."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any
from uuid import UUID

import grpc

from libs.common.pagination import PageTokens, page_size
from libs.common.rpc.caller import current_caller
from libs.common.rpc.drain import current_drain
from libs.common.rpc.errors import AppError, ErrorKind
from quietus.alerts.v1 import alerts_pb2 as pb
from quietus.alerts.v1.alerts_pb2_grpc import AlertServiceServicer
from services.alerts.messages import alert_message, event_message
from services.alerts.records import Alert
from services.alerts.response import Act
from services.alerts.risk import Level
from services.alerts.service.duty import Command, Duty
from services.alerts.store.alerts import PagePosition
from services.alerts.watching import Watchers, rung

Context = grpc.aio.ServicerContext[Any, Any]

PAGE_DEFAULT = 50
PAGE_MOST = 200


class AlertServicer(AlertServiceServicer):
    def __init__(self, duty: Duty, watchers: Watchers, page_tokens: PageTokens) -> None:
        self._duty = duty
        self._watchers = watchers
        self._page_tokens = page_tokens

    async def GetAlert(self, request: pb.GetAlertRequest, context: Context) -> pb.GetAlertResponse:
        alert, events = await self._duty.get(current_caller(), UUID(request.alert_id))
        messages = [event_message(number, event) for number, event in enumerate(events, start=1)]
        return pb.GetAlertResponse(alert=alert_message(alert), events=messages)

    async def ListAlerts(self, request: pb.ListAlertsRequest, context: Context) -> pb.ListAlertsResponse:
        method = f"ListAlerts {request.anonymous_id} {request.include_resolved}"
        size = page_size(request.page_size, PAGE_DEFAULT, PAGE_MOST)
        alerts = await self._duty.page(
            current_caller(),
            anonymous_id=request.anonymous_id,
            include_resolved=request.include_resolved,
            after=_position(self._page_tokens.open(method, request.page_token)),
            limit=size + 1,
        )
        shown = alerts[:size]
        more = len(alerts) > size
        token = self._page_tokens.seal(method, _position_values(shown[-1])) if more else ""
        return pb.ListAlertsResponse(alerts=[alert_message(alert) for alert in shown], next_page_token=token)

    async def WatchAlerts(
        self, request: pb.WatchAlertsRequest, context: Context
    ) -> AsyncIterator[pb.WatchAlertsResponse]:
        caller, drain = current_caller(), current_drain()
        seen: dict[UUID, int] = {}
        with self._watchers.bell() as bell:
            for alert in await self._duty.changed(caller, seen):
                seen[alert.alert_id] = alert.version
                yield pb.WatchAlertsResponse(alert=alert_message(alert))
            yield pb.WatchAlertsResponse()
            while not drain.is_set():
                await rung(bell)
                for alert in await self._duty.changed(caller, seen):
                    seen[alert.alert_id] = alert.version
                    if alert.resolve_time is not None:
                        del seen[alert.alert_id]
                    yield pb.WatchAlertsResponse(alert=alert_message(alert))

    async def AcknowledgeAlert(
        self, request: pb.AcknowledgeAlertRequest, context: Context
    ) -> pb.AcknowledgeAlertResponse:
        command = Command(Act.ACKNOWLEDGE, UUID(request.request_id), UUID(request.alert_id), request.etag)
        return pb.AcknowledgeAlertResponse(alert=alert_message(await self._duty.carry_out(current_caller(), command)))

    async def RespondToAlert(self, request: pb.RespondToAlertRequest, context: Context) -> pb.RespondToAlertResponse:
        command = Command(
            Act.RESPOND, UUID(request.request_id), UUID(request.alert_id), request.etag, notes=request.notes
        )
        return pb.RespondToAlertResponse(alert=alert_message(await self._duty.carry_out(current_caller(), command)))

    async def ResolveAlert(self, request: pb.ResolveAlertRequest, context: Context) -> pb.ResolveAlertResponse:
        command = Command(
            Act.RESOLVE,
            UUID(request.request_id),
            UUID(request.alert_id),
            request.etag,
            notes=request.notes,
            reason=_reason(request.reason),
            noise_reason=_noise_reason(request),
        )
        return pb.ResolveAlertResponse(alert=alert_message(await self._duty.carry_out(current_caller(), command)))


def _reason(reason: "pb.ResolutionReason.ValueType") -> str:
    if reason not in pb.ResolutionReason.values():
        raise AppError(ErrorKind.INVALID_ARGUMENT, "INVALID_FIELD", "not a reason of the contract", field="reason")
    return pb.ResolutionReason.Name(reason).removeprefix("RESOLUTION_REASON_").lower()


def _noise_reason(request: pb.ResolveAlertRequest) -> str:
    if not request.noise_reason:
        return ""
    if request.reason != pb.RESOLUTION_REASON_FALSE_ALARM or request.noise_reason not in pb.NoiseReason.values():
        raise AppError(
            ErrorKind.INVALID_ARGUMENT,
            "INVALID_FIELD",
            "a reason of the contract, of a false alarm",
            field="noise_reason",
        )
    return pb.NoiseReason.Name(request.noise_reason).removeprefix("NOISE_REASON_").lower()


def _position_values(alert: Alert) -> tuple[int, str, str]:
    return (0 if alert.level is Level.CRITICAL else 1, alert.open_time.isoformat(), str(alert.alert_id))


def _position(values: tuple[Any, ...] | None) -> PagePosition | None:
    if values is None:
        return None
    urgency, open_time, alert_id = values
    return PagePosition(urgency, datetime.fromisoformat(open_time), UUID(alert_id))
