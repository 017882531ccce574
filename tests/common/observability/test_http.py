"""What probes and Prometheus read."""

import json
from collections.abc import Iterator

import httpx
import pytest

from libs.common.observability.http import ObservabilityServer
from libs.common.observability.metrics import Metrics


class Process:
    """A process whose health a test decides."""

    def __init__(self) -> None:
        self.metrics = Metrics("ingest")
        self.serving = True
        self._server = ObservabilityServer("127.0.0.1", 0, self.metrics, lambda: self.serving)
        self.port = self._server.start()
        self.close = self._server.close

    def get(self, path: str) -> httpx.Response:
        return httpx.get(f"http://127.0.0.1:{self.port}{path}", trust_env=False)


@pytest.fixture
def process() -> Iterator[Process]:
    process = Process()
    yield process
    process.close()


def test_metrics_are_those_of_this_process(process: Process) -> None:
    process.metrics.outbox_head.labels("0").set(7)
    text = process.get("/metrics").text
    assert 'quietus_outbox_head{partition="0"} 7.0' in text
    assert 'target_info{service="ingest"} 1.0' in text


def test_health_follows_the_server(process: Process) -> None:
    assert process.get("/healthz").status_code == 200
    process.serving = False
    assert process.get("/healthz").status_code == 503


def test_degraded_service_still_serves_and_says_why(process: Process) -> None:
    process.metrics.set_degraded("parked_events", True)
    response = process.get("/healthz")
    assert response.status_code == 200
    assert json.loads(response.text) == {"status": "serving", "degraded": ["parked_events"]}
    assert 'quietus_degraded{reason="parked_events"} 1.0' in process.get("/metrics").text
    process.metrics.set_degraded("parked_events", False)
    assert json.loads(process.get("/healthz").text)["degraded"] == []


def test_nothing_else_is_there(process: Process) -> None:
    assert process.get("/").status_code == 404


def test_port_in_use_is_refused(process: Process) -> None:
    with pytest.raises(OSError, match="in use"):
        ObservabilityServer("127.0.0.1", process.port, process.metrics, lambda: True)
