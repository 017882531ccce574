"""The heartbeats of one stream, and what their answers tell of the clock."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from quietus.ingest.v1.sessions_pb2 import Heartbeat, HeartbeatAnswer
from quietus_edge.vitals import Vitals
from quietus_edge.window import Window

# More than the service takes; a way so long teaches nothing.
LONGEST_ROUND_TRIP_SECONDS = 60.0


class Pulse:
    def __init__(self, vitals: Vitals, key: int, window: Window, every_seconds: float) -> None:
        self._vitals = vitals
        self._window = window
        self._key = key
        self._every_seconds = every_seconds
        self._sent: Heartbeat | None = None
        self._sent_at = 0.0
        self._round_trip_seconds: float | None = None

    @property
    def is_live(self) -> bool:
        return self._vitals.is_live(self._key)

    async def run(self, write: Callable[[Heartbeat], Awaitable[None]]) -> None:
        """Until it is cancelled."""
        while True:
            await self._window.wait_for_room(1)
            if self.is_live and self._window.take_for_heartbeat():
                heartbeat = self._vitals.heartbeat(self._key, self._round_trip_seconds)
                self._sent, self._sent_at = heartbeat, time.monotonic()
                await write(heartbeat)
            await asyncio.sleep(self._every_seconds)

    def answered(self, answer: HeartbeatAnswer) -> None:
        self._window.heartbeat_answered()
        if self._sent and answer.client_time == self._sent.client_time:
            took = time.monotonic() - self._sent_at
            self._round_trip_seconds = took if took <= LONGEST_ROUND_TRIP_SECONDS else None
