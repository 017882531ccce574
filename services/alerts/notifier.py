"""Delivers notifications to the webhook, at least once each, with retries that end."""

import asyncio
from datetime import datetime, timedelta
from uuid import uuid4

import httpx
import structlog

from libs.common.cancellation import pause
from libs.common.clock import Clock
from libs.common.db.database import Database, Transaction
from libs.common.observability.metrics import Metrics
from libs.common.rpc.errors import AppError
from services.alerts.announcing import announce
from services.alerts.records import Alert, AlertEvent, Notification
from services.alerts.response import Act, State, after
from services.alerts.settings import AlertsSettings
from services.alerts.store import alerts, facts, notifications

POLL_SECONDS = 0.5
CLAIMED_AT_ONCE = 20
FAILED_EVENT = "notification_failed"
# On /healthz and as a metric, from the first that was given up until one is delivered again.
DEGRADED = "notifications_fail"

log = structlog.get_logger()


class Notifier:
    """Claims what is due, posts it outside of any transaction, and records how it went.

    A receiver may see a notification twice after a crash; the header Idempotency-Key is the same then.
    """

    def __init__(self, database: Database, settings: AlertsSettings, metrics: Metrics, clock: Clock) -> None:
        self._database = database
        self._settings = settings
        self._metrics = metrics
        self._clock = clock
        self._lease = timedelta(seconds=2 * settings.webhook_timeout_seconds + 5)

    async def run(self) -> None:
        if not self._settings.webhook_url:
            log.warning("no webhook is set: alerts are shown to counselors who watch, and pushed to nobody")
            return
        async with httpx.AsyncClient(timeout=self._settings.webhook_timeout_seconds) as client:
            while True:
                if not await self.deliver_due(client):
                    await pause(POLL_SECONDS)

    async def deliver_due(self, client: httpx.AsyncClient) -> int:
        """Delivers what is due now, all at once; returns how many notifications were tried."""
        now = self._clock()
        try:
            async with self._database.transaction() as tx:
                claimed = await notifications.claim(tx, now, now + self._lease, CLAIMED_AT_ONCE)
        except AppError as error:
            log.warning("notifications wait for the database", reason=error.reason)
            return 0
        await asyncio.gather(*(self._deliver(client, notification) for notification in claimed))
        return len(claimed)

    async def _deliver(self, client: httpx.AsyncClient, notification: Notification) -> None:
        failure = await self._post(client, notification)
        try:
            async with self._database.transaction() as tx:
                await self._settle(tx, notification, failure)
        except AppError as error:
            log.warning("notification is tried again after its lease", reason=error.reason)

    async def _post(self, client: httpx.AsyncClient, notification: Notification) -> str:
        """Empty when it was delivered; otherwise a stable reason. Of the answer, nothing but the status is read."""
        content = {
            "alert_id": str(notification.alert_id),
            "anonymous_id": notification.anonymous_id,
            "level": notification.level.name.lower(),
            "open_time": notification.open_time.isoformat(),
        }
        headers = {"Idempotency-Key": str(notification.notification_id)}
        post = client.stream("POST", self._settings.webhook_url, json=content, headers=headers)
        try:
            async with asyncio.timeout(self._settings.webhook_timeout_seconds), post as response:
                return "" if response.is_success else f"HTTP_{response.status_code}"
        except (httpx.HTTPError, TimeoutError) as error:
            return type(error).__name__

    async def _settle(self, tx: Transaction, notification: Notification, failure: str) -> None:
        now = self._clock()
        found = await alerts.by_id(tx, notification.alert_id)
        if found is None:
            return  # the person was erased in between
        await facts.lock_person(tx, found.user_id)
        alert = await alerts.by_id(tx, notification.alert_id)
        assert alert is not None, "the lock keeps the person here"
        if not failure:
            await notifications.settle_delivered(tx, notification.notification_id, now)
            await self._mark_notified(tx, alert, now)
            self._metrics.set_degraded(DEGRADED, False)
            return
        last = notification.attempts >= self._settings.webhook_attempts
        await notifications.settle_failed(
            tx, notification.notification_id, failure, None if last else now + self._pause(notification)
        )
        log.warning("notification not delivered", failure=failure, attempts=notification.attempts, gave_up=last)
        if last:
            await alerts.add_event(tx, alert, _channel_event(FAILED_EVENT, alert, now))
            self._metrics.set_degraded(DEGRADED, True)

    def _pause(self, notification: Notification) -> timedelta:
        doubled = self._settings.webhook_first_pause_seconds * 2.0 ** (notification.attempts - 1)
        return timedelta(seconds=min(doubled, self._settings.webhook_longest_pause_seconds))

    async def _mark_notified(self, tx: Transaction, alert: Alert, now: datetime) -> None:
        """A counselor may have been faster: then the delivery is told, and the state stays."""
        if alert.state is State.TRIGGERED:
            state = after(alert.state, Act.NOTIFY).value
            await alerts.change(tx, alert.alert_id, alert.version, {"state": state, "alert_sent_at": now})
        await alerts.add_event(tx, alert, _channel_event(Act.NOTIFY.value, alert, now))
        await announce(tx, alert.alert_id)


def _channel_event(kind: str, alert: Alert, now: datetime) -> AlertEvent:
    return AlertEvent(event_id=uuid4(), kind=kind, level=alert.level, score=0.0, source="channel", event_time=now)
