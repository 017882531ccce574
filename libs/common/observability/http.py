"""/metrics for Prometheus and /healthz for probes, in plaintext on a port of its own."""

import json
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from libs.common.observability.metrics import Metrics

_POLL_SECONDS = 0.1


class ObservabilityServer:
    """Answers from a thread, so that probes see a blocked event loop as slow metrics, not as a dead process."""

    def __init__(self, host: str, port: int, metrics: Metrics, is_serving: Callable[[], bool]) -> None:
        """Raises OSError when the port is in use."""
        self._server = ThreadingHTTPServer((host, port), _handler(metrics, is_serving))
        self._server.daemon_threads = True
        self._thread = Thread(
            target=self._server.serve_forever, args=(_POLL_SECONDS,), name="observability", daemon=True
        )

    def start(self) -> int:
        """Returns the port."""
        self._thread.start()
        return int(self._server.server_address[1])

    def close(self) -> None:
        if self._thread.is_alive():
            self._server.shutdown()
        self._server.server_close()


def _handler(metrics: Metrics, is_serving: Callable[[], bool]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 5

        def do_GET(self) -> None:
            if self.path == "/metrics":
                self._answer(200, CONTENT_TYPE_LATEST, generate_latest(metrics.registry))
            elif self.path == "/healthz":
                serving = is_serving()
                body = {"status": "serving" if serving else "not serving", "degraded": metrics.degraded_reasons}
                self._answer(200 if serving else 503, "application/json", json.dumps(body).encode())
            else:
                self._answer(404, "text/plain", b"")

        def _answer(self, status: int, content_type: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
            """Probes every few seconds are no news."""

    return Handler
