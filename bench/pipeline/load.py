"""The devices and the observers, a process of its own: `python -m bench.pipeline.load` with a plan as JSON on stdin.

Saturation: each device keeps `window` batches in flight for the given time; then everybody waits until all is fused.
Paced: the devices take turns by a schedule while other people's only chunks, critical ones, are sent at even
distances. Prints one JSON object.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import asyncpg
import uvloop

from bench.load.streams import PACE_SECONDS
from bench.pipeline.device import Device
from bench.pipeline.messages import PREDICTIONS
from bench.pipeline.observers import POLL_SECONDS, Counselor, FusedRows, caught_up

DRAIN_SECONDS = 300
# The first batches find cold caches and plans, and are not counted.
WARM_UP_SHARE = 0.2


@dataclass(frozen=True)
class Person:
    session_id: str
    anonymous_id: str
    token: str = field(repr=False)


@dataclass(frozen=True)
class Plan:
    """`dsn` is '' when nothing is going to be fused; `predictions_per_second` 0 asks for saturation.

    `until_settled`: a saturated load also waits for patterns and alerts.
    """

    ingest: str
    alerts: str
    dsn: str
    people: Sequence[Person]
    in_crisis: Sequence[Person]
    counselor_token: str
    window: int
    seconds: float
    predictions_per_second: float
    until_settled: bool


def read_plan(text: str) -> Plan:
    plan = json.loads(text)
    for group in ("people", "in_crisis"):
        plan[group] = [Person(**person) for person in plan[group]]
    return Plan(**plan)


async def open_devices(plan: Plan, people: Sequence[Person]) -> list[Device]:
    devices = [Device(person.session_id, person.token, plan.ingest, seed) for seed, person in enumerate(people)]
    await asyncio.gather(*(device.open() for device in devices))
    return devices


async def saturate(plan: Plan) -> dict[str, float]:
    loop = asyncio.get_running_loop()
    devices = await open_devices(plan, plan.people)
    start = loop.time()
    async with asyncio.timeout(plan.seconds + DRAIN_SECONDS):
        await asyncio.gather(*(keep_full(device, plan.window, start + plan.seconds) for device in devices))
        predictions = PREDICTIONS * sum(len(device.sent) for device in devices)
        acknowledged = max(device.acknowledged[-1] for device in devices) - start
        figures = {"predictions": predictions, "acknowledged_per_second": predictions / acknowledged}
        if plan.dsn:
            connection = await asyncpg.connect(plan.dsn)
            async with beside(FusedRows(connection, devices).watch()) as observers:
                await until(lambda: all_fused(devices), observers)
            figures["fused_per_second"] = predictions / (max(device.fused[-1] for device in devices) - start)
            if plan.until_settled:
                await caught_up(connection)
                figures["settled_per_second"] = predictions / (loop.time() - start)
    for device in devices:
        device.close()
    return figures


async def keep_full(device: Device, window: int, until: float) -> None:
    """Returns when all that was sent is acknowledged."""
    loop = asyncio.get_running_loop()
    while loop.time() < until or len(device.acknowledged) < len(device.sent):
        while loop.time() < until and len(device.sent) - len(device.acknowledged) < window:
            device.send(loop.time())
        await device.acknowledgement()


async def pace(plan: Plan) -> dict[str, float]:
    loop = asyncio.get_running_loop()
    devices = await open_devices(plan, plan.people)
    in_crisis = await open_devices(plan, plan.in_crisis)
    rows = FusedRows(await asyncpg.connect(plan.dsn), devices)
    counselor = Counselor(plan.alerts, plan.counselor_token)
    async with asyncio.timeout(plan.seconds + DRAIN_SECONDS), beside(rows.watch(), counselor.watch()) as observers:
        await until(counselor.watching.is_set, observers)
        start = loop.time()
        first_counted = start + plan.seconds * WARM_UP_SHARE
        await asyncio.gather(
            take_turns(devices, start, plan.seconds, plan.predictions_per_second),
            send_crises(in_crisis, first_counted, start + plan.seconds),
        )
        await until(lambda: all_fused(devices) and len(counselor.seen) == len(in_crisis), observers)
    for device in (*devices, *in_crisis):
        device.close()
    counted = [
        (sent, acknowledged, fused)
        for device in devices
        for sent, acknowledged, fused in zip(device.sent, device.acknowledged, device.fused, strict=True)
        if sent >= first_counted
    ]
    alerted = [
        counselor.seen[person.anonymous_id] - device.sent[0]
        for person, device in zip(plan.in_crisis, in_crisis, strict=True)
    ]
    return {
        **quantiles("send_to_acknowledgement", [acknowledged - sent for sent, acknowledged, _ in counted]),
        **quantiles("send_to_fused", [fused - sent for sent, _, fused in counted]),
        **quantiles("critical_to_alert", alerted),
    }


def all_fused(devices: Sequence[Device]) -> bool:
    return all(len(device.fused) == len(device.sent) for device in devices)


@asynccontextmanager
async def beside(*observers: Coroutine[None, None, None]) -> AsyncIterator[Sequence[asyncio.Task[None]]]:
    """Runs them for as long as the block."""
    tasks = [asyncio.create_task(observer) for observer in observers]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def until(done: Callable[[], bool], observers: Sequence[asyncio.Task[None]]) -> None:
    """Raises what an observer raises."""
    while not done():
        for observer in observers:
            if observer.done():
                observer.result()
        await asyncio.sleep(POLL_SECONDS)


async def take_turns(devices: Sequence[Device], start: float, seconds: float, predictions_per_second: float) -> None:
    """A batch that leaves late is measured from when it should have left."""
    loop = asyncio.get_running_loop()
    interval = PREDICTIONS / predictions_per_second
    for turn in range(int(seconds / interval)):
        due = start + turn * interval
        if due > loop.time():
            await asyncio.sleep(max(due - loop.time(), PACE_SECONDS))
        devices[turn % len(devices)].send(due)


async def send_crises(in_crisis: Sequence[Device], first: float, end: float) -> None:
    loop = asyncio.get_running_loop()
    for turn, device in enumerate(in_crisis):
        due = first + turn * (end - first) / len(in_crisis)
        await asyncio.sleep(due - loop.time())
        device.send(due, critical=True)


def quantiles(name: str, seconds: Sequence[float]) -> dict[str, float]:
    """In milliseconds."""
    ordered = sorted(seconds)
    return {
        f"{name}_p50_ms": ordered[len(ordered) // 2] * 1000,
        f"{name}_p99_ms": ordered[len(ordered) * 99 // 100] * 1000,
    }


if __name__ == "__main__":
    plan = read_plan(sys.stdin.read())
    print(json.dumps(uvloop.run(pace(plan) if plan.predictions_per_second else saturate(plan))))
