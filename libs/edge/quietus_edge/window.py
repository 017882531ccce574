"""How much of a stream may be in flight: sent and not yet acknowledged."""

import asyncio
from collections import deque

from quietus.ingest.v1.ingest_pb2 import Credit
from quietus_edge.spool import Batch


class Window:
    """Closed until the server grants credit for the first time."""

    def __init__(self) -> None:
        self._credit = Credit()
        self._in_flight: deque[Batch] = deque()
        self._predictions = 0
        # A heartbeat that the server may not have read counts as a batch.
        self._heartbeats = 0
        self._changed = asyncio.Event()

    @property
    def in_flight(self) -> int:
        """Batches."""
        return len(self._in_flight)

    @property
    def room(self) -> int:
        """Predictions that may be sent now."""
        if self.in_flight + self._heartbeats >= self._credit.max_batches:
            return 0
        return max(self._credit.max_predictions - self._predictions, 0)

    async def wait_for_room(self, predictions: int) -> None:
        """Waits until that many fit; with nothing in flight, until anything may be sent, lest it wait forever."""
        while self.room < (predictions if self._in_flight else 1):
            self._changed.clear()
            await self._changed.wait()

    def grant(self, credit: Credit) -> None:
        self._credit = credit
        self._changed.set()

    def take_for_heartbeat(self) -> bool:
        """Whether a heartbeat may be sent now; the one before has to be answered first."""
        if self._heartbeats or self.room == 0:
            return False
        self._heartbeats = 1
        return True

    def heartbeat_answered(self) -> None:
        self._heartbeats = 0
        self._changed.set()

    def sent(self, batch: Batch) -> None:
        self._in_flight.append(batch)
        self._predictions += batch.size

    def acknowledged(self, through: int) -> list[Batch]:
        """The batches that are durable now and weren't before."""
        durable = []
        while self._in_flight and self._in_flight[0].number <= through:
            batch = self._in_flight.popleft()
            self._predictions -= batch.size
            durable.append(batch)
        self._changed.set()
        return durable
