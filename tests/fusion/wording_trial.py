"""A worder that asks a real endpoint, and what it is asked about."""

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import UUID

import httpx

from libs.common.db.database import Database
from libs.common.observability.metrics import Metrics
from services.fusion.explanation import Wording
from services.fusion.fold import Models
from services.fusion.restraint import CircuitBreaker
from services.fusion.science.inputs import ChunkInputs
from services.fusion.service.language_model import LanguageModel
from services.fusion.service.worder import DEGRADED, FAILURES_IN_A_ROW, Worder
from services.fusion.settings import FusionSettings
from tests.fusion import make
from tests.fusion.endpoint import Endpoint
from tests.fusion.events import apply, committed, table
from tests.fusion.make import batch, chunk, predictions, said, shown

FACTS = "FACE_DISTRESS:strong"
KEY = "secret-of-the-test"
WORRIED = shown(probability=0.95, confidence=0.9)
# Far longer than loopback needs, and short enough to wait for once.
TIMEOUT_SECONDS = 20.0


def settings_for(endpoint: Endpoint, **more: Any) -> FusionSettings:
    values = {
        "llm_model": "small-1",
        "llm_api_key": KEY,
        "llm_requests_per_minute": 6000,
        "llm_timeout_seconds": TIMEOUT_SECONDS,
    }
    return FusionSettings(llm_url=endpoint.url, **(values | more))


class Trial:
    """A worder and what it shows."""

    def __init__(self, database: Database, settings: FusionSettings) -> None:
        self.shown: dict[str, Wording] = {}
        self.metrics = Metrics("fusion")
        self.now = 1000.0
        breaker = CircuitBreaker(FAILURES_IN_A_ROW, 30, 900, lambda: self.now)
        self._settings = settings
        self._worder = Worder(database, settings, self.metrics, self.shown, breaker)

    async def word(self) -> None:
        async with httpx.AsyncClient() as client:
            await self._worder.word_waiting(LanguageModel(client, self._settings))

    def texts(self) -> dict[str, str]:
        return {facts: wording.text for facts, wording in self.shown.items()}

    @property
    def outcomes(self) -> dict[str, float]:
        samples = [one for metric in self.metrics.explanation_wordings.collect() for one in metric.samples]
        return {one.labels["outcome"]: one.value for one in samples if one.name.endswith("_total")}

    @property
    def is_degraded(self) -> bool:
        return DEGRADED in self.metrics.degraded_reasons


def worried(chunks: int = 9) -> list[ChunkInputs]:
    """A face that shows strong distress, until the level isn't low any more."""
    return [chunk(number, WORRIED) for number in range(chunks)]


def session(offset: int) -> UUID:
    return UUID(int=make.SESSION_ID.int + offset)


async def fuse(database: Database, models: Models, *chunks: ChunkInputs, session_id: UUID = make.SESSION_ID) -> None:
    batches = [batch(number, *predictions(one), session_id=session_id) for number, one in enumerate(chunks, start=1)]
    await apply(database, models, [committed(one) for one in batches])


async def wait_no_longer(database: Database) -> None:
    async with database.transaction() as tx:
        await tx.execute("UPDATE explanation_wordings SET ask_after = now() - interval '1 second'")


async def fuse_many(database: Database, models: Models) -> set[str]:
    """Sessions with facts of their own; returns those."""
    words = said(0.9)
    kinds: list[dict[str, Any]] = [
        {"vision": WORRIED},
        {"audio": WORRIED},
        {"text": words},
        {"vision": WORRIED, "audio": WORRIED},
        {"vision": WORRIED, "text": words},
        {"audio": WORRIED, "text": words},
        {"vision": WORRIED, "audio": WORRIED, "text": words},
    ]
    for offset, content in enumerate(kinds):
        await fuse(database, models, *(chunk(number, **content) for number in range(9)), session_id=session(offset))
    return {row["facts"] for row in await table(database, "llm_explanations")} - {None}


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while not condition():  # noqa: ASYNC110 - nothing here has an event
            await asyncio.sleep(0.01)
