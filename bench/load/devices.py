"""The load generator for many devices: `python -m bench.load.devices` with a Plan as JSON on stdin.

Each session is a device with a connection and a stream of its own. It sends a batch every `len(sessions) * batch_size /
predictions_per_second` seconds; the devices' turns are spread evenly over that time. An acknowledgement counts from
when its batch was due. An error is a stream that ends, or that leaves a batch unacknowledged for 10 s; each counts
once, and sends no more. Prints one JSON object.
"""

import asyncio
import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

import uvloop

from bench.load.plan import Plan
from bench.load.recorder import Recorder
from bench.load.streams import PACE_SECONDS, Sender

OPENING_AT_ONCE = 50
OPEN_SECONDS = 60
ANSWER_SECONDS = 10.0
LOOK_SECONDS = 1.0


class Device:
    """One stream, and what became of it."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender
        self.sent = 0
        self.error = ""

    async def open(self, turn: asyncio.Semaphore) -> None:
        async with turn:
            opening = asyncio.create_task(self._sender.open())
            await asyncio.wait(
                (opening, self._sender.stream.ended), timeout=OPEN_SECONDS, return_when=asyncio.FIRST_COMPLETED
            )
        if not opening.done() or opening.exception():
            opening.cancel()
            self.error = "not opened"

    def send(self, due: float) -> None:
        if not self.error:
            self._sender.send(due)
            self.sent += 1

    def look(self, now: float) -> None:
        """At whether it is still well."""
        if self.error:
            return
        if self._sender.stream.ended.done():
            self.error = self._sender.stream.ended.result()
        elif self._sender.refused:
            self.error = "not accepted whole"
        elif (due := self._sender.oldest_due) is not None and now - due > ANSWER_SECONDS:
            self.error = "no acknowledgement"

    @property
    def waits(self) -> bool:
        return not self.error and self._sender.oldest_due is not None

    def close(self) -> None:
        self._sender.stream.close()


async def run(plan: Plan) -> dict[str, object]:
    loop = asyncio.get_running_loop()
    recorder = Recorder(plan.warm_up_seconds, plan.seconds)
    now = datetime.now(UTC)  # one for all: they share what they send
    devices = [Device(Sender(plan, session, token, 1, recorder, now)) for session, token in plan.sessions]
    turn = asyncio.Semaphore(OPENING_AT_ONCE)
    start = loop.time()
    await asyncio.gather(*(device.open(turn) for device in devices))
    opened = loop.time()
    recorder.start(opened)
    sending = asyncio.create_task(_send(plan, devices, recorder))
    await recorder.wait()
    await sending
    await _wait_for_answers(devices)
    for device in devices:
        device.close()
    return {
        **recorder.result(),
        "streams": len(devices),
        "open_seconds": opened - start,
        "batches": sum(device.sent for device in devices),
        "errors": sum(bool(device.error) for device in devices),
        "reasons": sorted({device.error for device in devices if device.error}),
    }


async def _send(plan: Plan, devices: Sequence[Device], recorder: Recorder) -> None:
    """Who is late is measured from when its batch was due."""
    loop = asyncio.get_running_loop()
    interval = plan.batch_size / plan.predictions_per_second
    due, turn, next_look = loop.time(), 0, loop.time()
    while not recorder.over:
        while due <= loop.time() and not recorder.over:
            devices[turn % len(devices)].send(due)
            due += interval
            turn += 1
        if loop.time() >= next_look:
            next_look += LOOK_SECONDS
            _look(devices)
        # Many in one go: a device more or less in a millisecond is no burst, and each waking costs.
        await asyncio.sleep(max(due - loop.time(), PACE_SECONDS))


async def _wait_for_answers(devices: Sequence[Device]) -> None:
    _look(devices)
    while any(device.waits for device in devices):
        await asyncio.sleep(0.1)
        _look(devices)


def _look(devices: Sequence[Device]) -> None:
    now = asyncio.get_running_loop().time()
    for device in devices:
        device.look(now)


if __name__ == "__main__":
    print(json.dumps(uvloop.run(run(Plan(**json.loads(sys.stdin.read()))))))
