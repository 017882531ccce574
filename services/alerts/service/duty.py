"""What counselors see and do. Until shifts are kept, every counselor is on duty: any open alert concerns them all."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID, uuid4

from libs.common.clock import Clock
from libs.common.db.audit import append_audit
from libs.common.db.database import Database, Transaction
from libs.common.rpc.caller import Caller
from libs.common.rpc.errors import AppError, ErrorKind
from libs.common.security.keyring import Keyring
from services.alerts.announcing import announce, announce_case
from services.alerts.records import Alert, AlertEvent
from services.alerts.response import Act, after
from services.alerts.risk import Source
from services.alerts.store import alerts, facts

RESPONSE_CONTEXT = "risk_alerts.counselor_response"
NOTES_CONTEXT = "risk_alerts.resolution_notes"

# More open alerts than anybody can act on; the most urgent are shown.
MOST_WATCHED = 1000


@dataclass(frozen=True, slots=True)
class Command:
    """What a counselor wants done to an alert."""

    act: Act
    request_id: UUID
    alert_id: UUID
    etag: str
    notes: str = field(default="", repr=False)
    reason: str = ""
    noise_reason: str = ""  # of a false alarm


class Duty:
    def __init__(self, database: Database, keyring: Keyring, clock: Clock) -> None:
        self._database = database
        self._keyring = keyring
        self._clock = clock

    async def get(self, caller: Caller, alert_id: UUID) -> tuple[Alert, list[AlertEvent]]:
        async with self._database.read() as tx:
            alert = await self._concerning(tx, caller, alert_id)
            await _audit(tx, caller, alert, "alert.read")
            return alert, await alerts.events(tx, alert_id)

    async def page(
        self,
        caller: Caller,
        *,
        anonymous_id: str,
        include_resolved: bool,
        after: alerts.PagePosition | None,
        limit: int,
    ) -> list[Alert]:
        async with self._database.read() as tx:
            found = await alerts.page(
                tx,
                _counselor(caller),
                anonymous_id=anonymous_id,
                include_resolved=include_resolved,
                after=after,
                limit=limit,
            )
            for alert in found:
                await _audit(tx, caller, alert, "alert.listed")
            return found

    async def changed(self, caller: Caller, seen: Mapping[UUID, int]) -> list[Alert]:
        """Open alerts, and those seen before, whose version isn't the one seen; audited as they are shown."""
        async with self._database.read() as tx:
            versions = await alerts.open_versions(tx, MOST_WATCHED)
            gone = [alert_id for alert_id in seen if alert_id not in versions]
            new = [alert_id for alert_id, version in versions.items() if seen.get(alert_id) != version]
            found = await alerts.by_ids(tx, [*new, *gone]) if new or gone else []
            for alert in found:
                await _audit(tx, caller, alert, "alert.watched")
            return sorted(found, key=lambda alert: (-alert.level, alert.open_time, alert.alert_id))

    async def carry_out(self, caller: Caller, command: Command) -> Alert:
        """Changes an alert, once a request_id.

        ABORTED ETAG_MISMATCH, FAILED_PRECONDITION ALERT_STATE, NOT_FOUND ALERT_NOT_FOUND, ALREADY_EXISTS
        REQUEST_ID_REUSED.
        """
        counselor_id = _counselor(caller)
        async with self._database.transaction() as tx:
            found = await self._concerning(tx, caller, command.alert_id)
            await facts.lock_person(tx, found.user_id)
            alert = await self._concerning(tx, caller, command.alert_id)
            earlier = await alerts.request(tx, command.alert_id, command.request_id)
            if earlier is not None:
                if earlier != (command.act.value, counselor_id):
                    raise AppError(ErrorKind.ALREADY_EXISTS, "REQUEST_ID_REUSED")
                return alert
            if command.etag != str(alert.version):
                raise AppError(ErrorKind.ABORTED, "ETAG_MISMATCH")
            await self._change(tx, caller, alert, command)
            await _audit(tx, caller, alert, f"alert.{command.act.value}")
            if command.act is Act.RESOLVE:
                await announce_case(tx, alert.alert_id)
            return await announce(tx, alert.alert_id)

    async def _change(self, tx: Transaction, caller: Caller, alert: Alert, command: Command) -> None:
        now = self._clock()
        values: dict[str, object] = {
            "state": after(alert.state, command.act).value,
            "counselor_id": caller.user_id,
            "counselor_anonymous_id": caller.anonymous_id,
        }
        if command.act is Act.RESPOND:
            values["counselor_response"] = self._keyring.encrypt(command.notes, RESPONSE_CONTEXT)
            values["counselor_response_at"] = now
        if command.act is Act.RESOLVE:
            values["resolution_reason"] = command.reason
            values["resolution_notes"] = self._keyring.encrypt(command.notes, NOTES_CONTEXT) if command.notes else None
            values["resolved_at"] = now
            values |= await _case(tx, alert, command)
        if not await alerts.change(tx, alert.alert_id, alert.version, values):
            raise AppError(ErrorKind.ABORTED, "ETAG_MISMATCH")
        event = AlertEvent(
            event_id=uuid4(),
            kind=command.act.value,
            level=alert.level,
            score=0.0,
            source="counselor",
            event_time=now,
            counselor_id=caller.user_id,
            counselor_anonymous_id=caller.anonymous_id,
            request_id=command.request_id,
        )
        await alerts.add_event(tx, alert, event)

    async def _concerning(self, tx: Transaction, caller: Caller, alert_id: UUID) -> Alert:
        """The alert, if it concerns the caller; whether others exist is not told."""
        alert = await alerts.by_id(tx, alert_id)
        counselor_id = _counselor(caller)
        if alert is not None and (
            alert.resolve_time is None
            or alert.counselor_id == counselor_id
            or await alerts.in_care(tx, counselor_id, alert.user_id)
        ):
            return alert
        raise AppError(ErrorKind.NOT_FOUND, "ALERT_NOT_FOUND")


def _counselor(caller: Caller) -> UUID:
    if caller.user_id is None:
        raise AppError(ErrorKind.PERMISSION_DENIED, "NOT_A_COUNSELOR")
    return caller.user_id


async def _case(tx: Transaction, alert: Alert, command: Command) -> dict[str, object]:
    """What the alert was and what it rested on, as it is known when it is resolved."""
    ended = await alerts.last_resolution(tx, alert.user_id)
    sessions = await facts.alarming(tx, alert.user_id, ended[1].resolve_time if ended else None)
    return {
        "noise_reason": command.noise_reason or None,
        "fusion_session_ids": sessions[Source.FUSION],
        "patterns_alarmed": bool(sessions[Source.PATTERNS]),
    }


async def _audit(tx: Transaction, caller: Caller, alert: Alert, action: str) -> None:
    await append_audit(
        tx,
        user_id=alert.user_id,
        actor=f"counselor:{caller.anonymous_id}",
        action=action,
        resource_type="risk_alert",
        resource_id=alert.alert_id,
    )
