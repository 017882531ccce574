"""The devices that send: each has its place in line and its allowance, which it shares with its person's others."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

from libs.common.rpc.caller import Caller
from libs.common.rpc.errors import AppError, ErrorKind
from services.ingest.allowance import Allowance
from services.ingest.service.batches import now
from services.ingest.service.line import Place

# Beyond so many, those that owe nothing are forgotten.
REMEMBERED = 10_000
# A stream that would not be read for longer than this is better opened later.
PATIENCE_SECONDS = 5.0
TOO_MANY_RETRY_SECONDS = 10.0
# Of one device, on all its streams: the queue that everybody shares is sixty times as long.
WAITING_BYTES_MAX = 1024 * 1024
MOMENT_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Rates:
    """Predictions a second, and for how many seconds they may be spent at once."""

    device_per_second: float
    person_per_second: float
    burst_seconds: float
    device_streams: int


class Device(Place):
    __slots__ = ("allowance", "is_in_debt", "persons_allowance", "streams")

    def __init__(self, allowance: Allowance, persons_allowance: Allowance) -> None:
        super().__init__()
        self.allowance = allowance
        self.persons_allowance = persons_allowance
        self.streams = 0
        # As of the last time that anything was spent or asked.
        self.is_in_debt = False

    def spend(self, predictions: int, now: int) -> None:
        self.allowance.spend(predictions, now)
        self.persons_allowance.spend(predictions, now)
        self.is_in_debt = self.allowance.is_overdrawn or self.persons_allowance.is_overdrawn

    @property
    def is_held_up(self) -> bool:
        """Whether it is to be read no further: it owes, or as much of it waits as may."""
        return self.is_in_debt or self.waiting_bytes >= WAITING_BYTES_MAX

    async def moves_on(self) -> None:
        """Returns when the debt is paid, or after a moment in which a group may have taken what waits."""
        await asyncio.sleep(self.debt_seconds() or MOMENT_SECONDS)

    def debt_seconds(self) -> float:
        """How long it isn't listened to."""
        time = now()
        debt_seconds = max(self.allowance.debt_seconds(time), self.persons_allowance.debt_seconds(time))
        self.is_in_debt = debt_seconds > 0
        return debt_seconds

    def check_debt(self, patience_seconds: float = 0.0) -> None:
        """RESOURCE_EXHAUSTED RATE_LIMITED."""
        debt_seconds = self.debt_seconds()
        if debt_seconds > patience_seconds:
            raise AppError(
                ErrorKind.RESOURCE_EXHAUSTED,
                "RATE_LIMITED",
                "more is sent than one device or person may",
                retry_after_seconds=debt_seconds,
            )


class Devices:
    def __init__(self, rates: Rates) -> None:
        self._rates = rates
        self._devices: dict[tuple[UUID | None, str | None], Device] = {}
        self._persons: dict[UUID | None, Allowance] = {}
        self._forget_at = REMEMBERED

    def of(self, caller: Caller) -> Device:
        """A person's calls without a device are one device."""
        key = caller.user_id, caller.device_id
        if device := self._devices.get(key):
            return device
        if len(self._devices) >= self._forget_at:
            self._forget()
        persons = self._persons.setdefault(caller.user_id, self._allowance(self._rates.person_per_second))
        device = self._devices[key] = Device(self._allowance(self._rates.device_per_second), persons)
        return device

    @contextmanager
    def stream(self, caller: Caller) -> Iterator[Device]:
        """For as long as it is open. RESOURCE_EXHAUSTED RATE_LIMITED, TOO_MANY_STREAMS."""
        device = self.of(caller)
        device.check_debt(PATIENCE_SECONDS)
        if device.streams >= self._rates.device_streams:
            raise AppError(
                ErrorKind.RESOURCE_EXHAUSTED,
                "TOO_MANY_STREAMS",
                "of one device",
                retry_after_seconds=TOO_MANY_RETRY_SECONDS,
            )
        device.streams += 1
        try:
            yield device
        finally:
            device.streams -= 1

    def _allowance(self, per_second: float) -> Allowance:
        return Allowance(per_second, per_second * self._rates.burst_seconds)

    def _forget(self) -> None:
        """Whoever is forgotten comes back as new, so nobody is who owes, sends or waits."""
        time = now()
        for key, device in tuple(self._devices.items()):
            is_idle = not (device.streams or device.waiting or device.ready_predictions)
            if is_idle and device.allowance.is_full(time) and device.persons_allowance.is_full(time):
                del self._devices[key]
        people = {user_id for user_id, _ in self._devices}
        self._persons = {user_id: kept for user_id, kept in self._persons.items() if user_id in people}
        self._forget_at = max(REMEMBERED, 2 * len(self._devices))
