"""Devices that send each session by several streams at once: out of order, and much of it twice."""

import asyncio
import random
from collections.abc import Sequence
from uuid import UUID

import grpc

from deploy.demo.people import Person
from libs.common.rpc.client import Metadata
from quietus.ingest.v1.predictions_pb2 import PredictionBatch
from tests.e2e.devices import Device, Devices, until_reached
from tests.e2e.ledger import Ledger
from tests.e2e.scenario import PlannedSession


class ReorderingDevices(Devices):
    def _device(self, person: Person) -> Device:
        return _Reordering(self._channel, person.token, self.ledger, self.tap, self.streams)


class _Reordering(Device):
    def __init__(
        self,
        ingest: grpc.aio.Channel,
        token: Metadata,
        ledger: Ledger,
        tap: asyncio.Event,
        streams: dict[str, int],
    ) -> None:
        super().__init__(ingest, token, ledger, tap)
        self._streams = streams

    async def _stream(self, session: PlannedSession) -> None:
        """What comes later is sent at once with what comes first, and with a third of all once more."""
        rng = random.Random(str(session.session_id))  # noqa: S311 - repeatable on purpose
        batches = session.batches
        middle = rng.randint(1, len(batches) - 1)
        again = sorted(rng.sample(range(len(batches)), len(batches) // 3))
        parts = (batches[middle:], batches[:middle], [batches[index] for index in again])
        await asyncio.gather(*(self._until_acknowledged(session.session_id, part) for part in parts))

    async def _until_acknowledged(self, session_id: UUID, batches: Sequence[PredictionBatch]) -> None:
        await until_reached(lambda: self._send_all(session_id, batches))

    async def _send_all(self, session_id: UUID, batches: Sequence[PredictionBatch]) -> None:
        self._streams[str(session_id)] = self._streams.get(str(session_id), 0) + 1
        await super()._send_all(session_id, batches)
