"""What streams and calls see while nobody is let into the database."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from sqlalchemy import make_url

from libs.common.rpc.errors import reason_of
from tests.ingest import make
from tests.ingest.suite import Suite
from tests.support import postgres


@asynccontextmanager
async def away(admin_dsn: str, dsn: str) -> AsyncIterator[None]:
    """The database of this DSN throws everybody out and lets nobody in."""
    name = make_url(dsn).database
    await postgres.execute(admin_dsn, f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    await postgres.execute(
        admin_dsn, "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = $1", name
    )
    try:
        yield
    finally:
        await postgres.execute(admin_dsn, f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")


async def test_streams_stay_open_without_credit_and_go_on_by_themselves(
    suite: Suite, postgres_admin_dsn: str, fresh_dsn: str
) -> None:
    person = suite.person()
    session_id = await person.start_session()
    stream = await person.stream(session_id)
    granted = stream.credit
    await stream.send(1, [make.vision()])
    await stream.acknowledged(1)
    async with away(postgres_admin_dsn, fresh_dsn):
        await stream.send(2, [make.vision()])
        response = await stream.read()
        assert response.WhichOneof("message") == "credit"
        assert (response.credit.max_batches, response.credit.max_predictions) == (0, 0)
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await person.record(session_id, make.batch(1, [make.vision()]))
        assert (raised.value.code(), reason_of(raised.value)) == (grpc.StatusCode.UNAVAILABLE, "DATABASE_UNAVAILABLE")
    response = await stream.read()
    assert response.credit == granted
    await stream.acknowledged(2)
    assert await suite.count("vision_predictions") == 2


async def test_health_says_it_though_nobody_calls(suite: Suite, postgres_admin_dsn: str, fresh_dsn: str) -> None:
    health = HealthStub(suite.channel).Watch(HealthCheckRequest())
    assert (await health.read()).status == HealthCheckResponse.SERVING
    async with away(postgres_admin_dsn, fresh_dsn):
        assert (await health.read()).status == HealthCheckResponse.NOT_SERVING
    assert (await health.read()).status == HealthCheckResponse.SERVING
    health.cancel()
