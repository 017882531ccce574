"""Those who wait at the end of the road: for rows that fusion committed, and for alerts."""

import asyncio
from collections.abc import Sequence
from typing import Any

import asyncpg

from bench.pipeline.device import Device
from libs.common.rpc.client import bearer, channel
from quietus.alerts.v1.alerts_pb2 import WatchAlertsRequest
from quietus.alerts.v1.alerts_pb2_grpc import AlertServiceStub
from quietus.common.v1.types_pb2 import RISK_LEVEL_CRITICAL

# What is seen is late by this much at most.
POLL_SECONDS = 0.005

# The count stands in the transaction that writes the chunks' rows; a session's chunks come in order.
_FUSED = "SELECT session_id::text, chunks FROM fusion.session_states WHERE session_id = ANY($1::uuid[])"
_BEHIND = """
SELECT EXISTS (
    SELECT FROM patterns.feed_cursors c, fusion.feed_head h WHERE c.source = 'fusion' AND c.position < h.position
    UNION ALL
    SELECT FROM patterns.feed_cursors c, ingest.feed_head h WHERE c.source = 'ingest' AND c.position < h.position
    UNION ALL
    SELECT FROM alerts.feed_cursors c, fusion.feed_head h WHERE c.source = 'fusion' AND c.position < h.position
    UNION ALL
    SELECT FROM alerts.feed_cursors c, patterns.feed_head h WHERE c.source = 'patterns' AND c.position < h.position
)
"""


class FusedRows:
    """Sees them by polling on a connection of its own."""

    def __init__(self, connection: "asyncpg.Connection[Any]", devices: Sequence[Device]) -> None:
        self._connection = connection
        self._devices = {device.session_id: device for device in devices}

    async def watch(self) -> None:
        """Until it is cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            waiting = [name for name, device in self._devices.items() if len(device.fused) < len(device.sent)]
            if waiting:
                rows = await self._connection.fetch(_FUSED, waiting)
                now = loop.time()
                for session_id, chunks in rows:
                    self._devices[session_id].fused_through(chunks, now)
            await asyncio.sleep(POLL_SECONDS)


async def caught_up(connection: "asyncpg.Connection[Any]") -> None:
    """Returns when patterns and alerts have applied all that was told."""
    while await connection.fetchval(_BEHIND):  # noqa: ASYNC110 - other processes change it
        await asyncio.sleep(0.02)


class Counselor:
    """Watches alerts. `seen`: when each person's critical alert came, by anonymous id."""

    def __init__(self, alerts_address: str, token: str) -> None:
        self.seen: dict[str, float] = {}
        self.watching = asyncio.Event()
        self._address = alerts_address
        self._token = token

    async def watch(self) -> None:
        """Until it is cancelled."""
        loop = asyncio.get_running_loop()
        async with channel(self._address) as connection:
            stub = AlertServiceStub(connection)
            async for response in stub.WatchAlerts(WatchAlertsRequest(), metadata=bearer(self._token)):
                if not response.HasField("alert"):
                    self.watching.set()
                elif response.alert.level == RISK_LEVEL_CRITICAL:
                    self.seen.setdefault(response.alert.anonymous_id, loop.time())
