"""`python -m tests.fuzz.target`: ingest as a process of its own, whole, with a key for tokens that the fuzzer knows."""

import asyncio
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from prometheus_client import Gauge

from libs.common.observability.metrics import Metrics
from libs.common.rpc.app import Running, run
from libs.common.security.tokens import StaticVerifierKeys
from libs.common.settings import load_settings
from services.ingest import app
from services.ingest.settings import IngestSettings

KEY_ID = "fuzz"
PRIVATE_KEY = Ed25519PrivateKey.from_private_bytes(sha256(b"fuzz").digest())
TASKS = "fuzz_tasks"


class Keys(StaticVerifierKeys):
    def __init__(self, address: str) -> None:
        super().__init__({KEY_ID: PRIVATE_KEY.public_key()})

    async def close(self) -> None:
        """As IdentityKeys does."""


async def compose(settings: IngestSettings, metrics: Metrics) -> Running:
    loop = asyncio.get_running_loop()
    tasks = Gauge(TASKS, "Tasks of the event loop", registry=metrics.registry)
    tasks.set_function(lambda: len(asyncio.all_tasks(loop)))
    return await app.compose(settings, metrics)


if __name__ == "__main__":
    app.IdentityKeys = Keys  # type: ignore[assignment,misc]
    app.handlers = dict  # type: ignore[assignment]
    run(app.NAME, load_settings(IngestSettings, app.NAME), compose)
