"""Asks a service's standard health endpoint, as a load balancer would."""

import asyncio

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped]  # ships no types

CALL_SECONDS = 1.0
POLL_SECONDS = 0.1


async def serving(address: str) -> bool:
    """Whether the server at `address` answers SERVING for itself as a whole."""
    async with grpc.aio.insecure_channel(address) as channel:
        try:
            response = await health_pb2_grpc.HealthStub(channel).Check(
                health_pb2.HealthCheckRequest(), timeout=CALL_SECONDS
            )
        except grpc.aio.AioRpcError:
            return False
        return bool(response.status == health_pb2.HealthCheckResponse.SERVING)


async def wait_until_serving(address: str, within_seconds: float) -> bool:
    """Polls until the server serves; False when it doesn't in time."""
    try:
        async with asyncio.timeout(within_seconds):
            while not await serving(address):
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError:
        return False
    return True
