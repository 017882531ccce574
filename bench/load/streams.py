"""The load generator for gRPC streams: `python -m bench.load.streams` with a Plan as JSON on stdin.

Saturation: each stream keeps `window` batches in flight. Paced: batches leave by a schedule, and one that leaves late
is measured from when it should have left. A batch counts when its acknowledgement has come. Prints one JSON object.
"""

import asyncio
import json
import sys
from collections import deque
from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

import uvloop

from bench.load.http2 import GrpcStream
from bench.load.messages import Messages
from bench.load.plan import Plan
from bench.load.recorder import Recorder
from quietus.ingest.v1.ingest_pb2 import OpenStream, StreamPredictionsRequest, StreamPredictionsResponse

PACE_SECONDS = 0.002
PATH = "/quietus.ingest.v1.IngestService/StreamPredictions"


class Paced(Protocol):
    def send(self, due: float) -> None: ...


class Sender:
    """One stream that sends. Times are those of the event loop, in seconds."""

    def __init__(
        self,
        plan: Plan,
        session_id: str,
        token: str,
        seed: int,
        recorder: Recorder,
        start: datetime | None = None,
    ) -> None:
        self._plan = plan
        self._recorder = recorder
        self._messages = Messages(plan.batch_size, start, seed)
        self._in_flight: deque[tuple[int, float]] = deque()
        # Due, and not sent yet, because the server granted no more in flight.
        self._held_back: deque[float] = deque()
        self._credit = 0
        self._loop = asyncio.get_running_loop()
        self._session_id = session_id
        self.opened = asyncio.Event()
        self.refused = ""
        metadata = {"authorization": f"Bearer {token}"}
        self.stream = GrpcStream(PATH, f"{plan.host}:{plan.port}", metadata, self._take)

    async def open(self) -> None:
        await self._loop.create_connection(lambda: self.stream, self._plan.host, self._plan.port)
        self.stream.send(StreamPredictionsRequest(open=OpenStream(session_id=self._session_id)).SerializeToString())
        await self.opened.wait()

    @property
    def oldest_due(self) -> float | None:
        """When the oldest batch was due that isn't acknowledged."""
        if self._in_flight:
            return self._in_flight[0][1]
        return self._held_back[0] if self._held_back else None

    def fill_window(self) -> None:
        while len(self._in_flight) < min(self._plan.window, self._credit):
            self.send(self._loop.time())

    def send(self, due: float) -> None:
        """At once, or as soon as the server lets it; either way it is measured from when it was due."""
        if len(self._in_flight) >= self._credit:
            self._held_back.append(due)
            return
        number, message = self._messages.next()
        self._in_flight.append((number, due))
        self.stream.send(message)

    def _take(self, message: bytes) -> None:
        response = StreamPredictionsResponse.FromString(message)
        if response.HasField("opened"):
            credit = response.opened.credit
            self._credit = min(credit.max_batches, credit.max_predictions // self._plan.batch_size)
            self.opened.set()
            return
        acknowledgement = response.acknowledgement
        if acknowledgement.outcomes:
            self.refused = self.refused or f"not accepted whole: {acknowledgement}"
        now, through = self._loop.time(), acknowledgement.through_batch_number
        while self._in_flight and self._in_flight[0][0] <= through:
            self._recorder.acknowledged(now, now - self._in_flight.popleft()[1], self._plan.batch_size)
        while self._held_back and len(self._in_flight) < self._credit:
            self.send(self._held_back.popleft())
        if not self._plan.predictions_per_second and not self._recorder.over:
            self.fill_window()


async def run(plan: Plan) -> dict[str, float]:
    loop = asyncio.get_running_loop()
    recorder = Recorder(plan.warm_up_seconds, plan.seconds)
    senders = [Sender(plan, session, token, seed, recorder) for seed, (session, token) in enumerate(plan.sessions)]
    await asyncio.gather(*(sender.open() for sender in senders))
    recorder.start(loop.time())
    recorded = asyncio.create_task(recorder.wait())
    if plan.predictions_per_second:
        await pace(plan, senders, recorder)
    else:
        for sender in senders:
            sender.fill_window()
    await recorded
    if refused := [sender.refused for sender in senders if sender.refused]:
        raise RuntimeError(refused[0])
    if ended := [sender.stream.ended.result() for sender in senders if sender.stream.ended.done()]:
        raise RuntimeError(f"{len(ended)} streams ended: {ended[0]}")
    for sender in senders:
        sender.stream.close()
    return recorder.result()


async def pace(plan: Plan, senders: Sequence[Paced], recorder: Recorder) -> None:
    """The streams take turns, evenly spaced."""
    loop = asyncio.get_running_loop()
    interval = plan.batch_size / plan.predictions_per_second
    due, turn = loop.time(), 0
    while not recorder.over:
        while due <= loop.time():
            senders[turn % len(senders)].send(due)
            due += interval
            turn += 1
        # Many in one go: a generator that wakes for each takes a processor from those whom it measures.
        await asyncio.sleep(max(due - loop.time(), PACE_SECONDS))


if __name__ == "__main__":
    print(json.dumps(uvloop.run(run(Plan(**json.loads(sys.stdin.read()))))))
