"""Who may send how much, and on how many streams."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from libs.common.rpc.caller import Caller
from libs.common.rpc.errors import AppError, ErrorKind
from quietus.common.v1.options_pb2 import ROLE_DEVICE
from services.ingest.service import devices as devices_module
from services.ingest.service.batches import now
from services.ingest.service.devices import Devices, Rates

RATES = Rates(device_per_second=10, person_per_second=15, burst_seconds=10, device_streams=2)


def a_device() -> Caller:
    expires_at = datetime.now(UTC) + timedelta(hours=1)
    return Caller(uuid4(), ROLE_DEVICE, frozenset(), "anon", str(uuid4()), None, expires_at)


def test_a_device_that_owes_is_told_when_to_come_back() -> None:
    device = Devices(RATES).of(a_device())
    device.check_debt()
    device.spend(130, now())
    with pytest.raises(AppError) as raised:
        device.check_debt()
    assert (raised.value.kind, raised.value.reason) == (ErrorKind.RESOURCE_EXHAUSTED, "RATE_LIMITED")
    assert raised.value.retry_after_seconds == pytest.approx(3, abs=0.5)


def test_devices_of_one_person_share_the_persons_allowance() -> None:
    devices = Devices(RATES)
    phone = a_device()
    tablet = replace(phone, device_id=str(uuid4()))
    devices.of(phone).spend(100, now())
    devices.of(tablet).spend(100, now())
    assert devices.of(phone).debt_seconds() > 0
    assert devices.of(tablet).debt_seconds() > 0
    assert devices.of(a_device()).debt_seconds() == 0


def test_a_device_opens_so_many_streams_at_once() -> None:
    devices, phone = Devices(RATES), a_device()
    with devices.stream(phone), devices.stream(phone):
        with pytest.raises(AppError) as raised, devices.stream(phone):
            pass
        assert (raised.value.kind, raised.value.reason) == (ErrorKind.RESOURCE_EXHAUSTED, "TOO_MANY_STREAMS")
        assert raised.value.retry_after_seconds
        with devices.stream(a_device()):
            pass
    with devices.stream(phone):
        pass


def test_who_owes_or_streams_is_never_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices_module, "REMEMBERED", 3)
    devices, owes, streams, idle = Devices(RATES), a_device(), a_device(), a_device()
    devices.of(owes).spend(130, now())
    first_idle = devices.of(idle)
    with devices.stream(streams) as streaming:
        for _ in range(10):
            devices.of(a_device())
        assert devices.of(owes).debt_seconds() > 0
        assert devices.of(streams) is streaming
        assert devices.of(idle) is not first_idle
