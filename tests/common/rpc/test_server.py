"""What every server offers beside its own services."""

import asyncio

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub
from structlog.testing import capture_logs

from libs.common.observability.metrics import Metrics
from libs.common.rpc import client
from libs.common.rpc.server import PING_INTERVAL_MILLISECONDS, build_server
from libs.common.settings import CommonSettings
from quietus_edge import connection
from tests.common.rpc.harness import Serving, Tokens, call_line, serving
from tests.common.rpc.probe import SERVICE, probe_parts


async def _status(running: Serving, service: str) -> int:
    response = await HealthStub(running.channel).Check(HealthCheckRequest(service=service))
    return int(response.status)


async def test_health_of_the_server_and_of_each_service() -> None:
    async with serving(probe_parts()) as running:
        for service in ("", SERVICE):
            assert await _status(running, service) == HealthCheckResponse.SERVING
        await running.server.set_serving(False)
        for service in ("", SERVICE):
            assert await _status(running, service) == HealthCheckResponse.NOT_SERVING


async def test_abort_of_a_foreign_servicer_stands_and_is_logged() -> None:
    with capture_logs() as logs:
        async with serving(probe_parts()) as running:
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await _status(running, "quietus.test.v1.Nothing")
            assert (await call_line(logs))["status"] == "NOT_FOUND"
    assert raised.value.code() is grpc.StatusCode.NOT_FOUND


async def test_health_is_answered_under_load() -> None:
    async with serving(probe_parts(), CommonSettings(max_concurrent_calls=1)) as running:
        statuses = await asyncio.gather(*[_status(running, "") for _ in range(20)])
    assert set(statuses) == {HealthCheckResponse.SERVING}


async def test_watcher_of_health_sees_the_drain_and_does_not_hold_it_up() -> None:
    async with serving(probe_parts()) as running:
        watch = HealthStub(running.channel).Watch(HealthCheckRequest())
        assert (await watch.read()).status == HealthCheckResponse.SERVING
        await asyncio.wait_for(running.server.drain(600), 30)
        assert (await watch.read()).status == HealthCheckResponse.NOT_SERVING
        assert await watch.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_quiet_stream_is_not_cut_off_though_its_client_asks_whether_it_is_alive(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("libs.common.rpc.server.PING_INTERVAL_MILLISECONDS", 20)
    asking = [("grpc.keepalive_time_ms", 1_000), ("grpc.http2.max_pings_without_data", 0)]  # no oftener
    async with serving(probe_parts()) as running, grpc.aio.insecure_channel(running.address, options=asking) as asker:
        watch = HealthStub(asker).Watch(HealthCheckRequest())
        assert (await watch.read()).status == HealthCheckResponse.SERVING
        await asyncio.sleep(4.5)  # a server that minds ends it at the third
        await running.server.set_serving(False)
        assert (await watch.read()).status == HealthCheckResponse.NOT_SERVING


def test_clients_ask_less_often_than_the_server_allows() -> None:
    for options in (client.OPTIONS, connection.OPTIONS):
        assert dict(options)["grpc.keepalive_time_ms"] > PING_INTERVAL_MILLISECONDS


async def _services(running: Serving) -> set[str]:
    stream = ServerReflectionStub(running.channel).ServerReflectionInfo(
        iter([ServerReflectionRequest(list_services="")])
    )
    response = await stream.read()
    return {service.name for service in response.list_services_response.service}


async def test_reflection_names_the_services() -> None:
    async with serving(probe_parts()) as running:
        assert {SERVICE, "grpc.health.v1.Health"} <= await _services(running)


@pytest.mark.parametrize(
    ("host", "setting"),
    [("127.0.0.1", "never"), ("0.0.0.0", "loopback")],  # noqa: S104 - what a container binds
)
async def test_reflection_is_off_where_the_setting_says_so(host: str, setting: str) -> None:
    async with serving(probe_parts(), CommonSettings.model_validate({"host": host, "reflection": setting})) as running:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await _services(running)
    assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_second_server_on_a_port_is_refused() -> None:
    async with serving(probe_parts()) as running:
        settings = CommonSettings(port=int(running.address.rpartition(":")[2]))
        second = build_server(settings, probe_parts(), Tokens().verifier, Metrics("probe"))
        with pytest.raises(OSError, match="in use"):
            await second.start()
