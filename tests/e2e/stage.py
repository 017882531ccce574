"""Where faults are played: ingest and what it needs, a proxy in front of it, people with devices, and a listener."""

import asyncio
import os
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import chain
from typing import Any

import asyncpg

from deploy.demo.people import Person
from libs.common.rpc.client import Metadata, bearer, channel
from quietus.common.v1.types_pb2 import MODALITY_AUDIO, MODALITY_TEXT, MODALITY_VISION
from quietus.identity.v1.identity_pb2 import ExchangeApiKeyRequest
from quietus.identity.v1.identity_pb2_grpc import TokenServiceStub
from quietus.ingest.v1.ingest_pb2 import ListPredictionsRequest
from quietus.ingest.v1.ingest_pb2_grpc import IngestServiceStub
from quietus.ingest.v1.predictions_pb2 import Prediction
from tests.e2e.checker import Difference
from tests.e2e.devices import CALL_SECONDS, Devices, until_reached
from tests.e2e.ledger import Ledger
from tests.e2e.listener import Listener
from tests.e2e.polling import until
from tests.e2e.promise import PredictionKey, Stored, key_of, violations
from tests.e2e.proxy import Proxy
from tests.e2e.scenario import PlannedSession, seeded
from tests.e2e.snapshot import Snapshot
from tests.e2e.suite import Suite
from tests.support.disk import small_disk

# What tests choose by; a bench has seeds of its own.
SEED = int(os.environ.get("QUIETUS_TEST_SEED", "7"))
SERVICES = ("identity", "ingest")
SESSIONS, CHUNKS = 2, 240
FIRST_ACKNOWLEDGEMENTS = 10
PAGE_SIZE = 1000
MODALITIES = (MODALITY_VISION, MODALITY_AUDIO, MODALITY_TEXT)
COUNT_ROWS = """
SELECT (SELECT count(*) FROM ingest.vision_predictions WHERE session_id = ANY($1))
     + (SELECT count(*) FROM ingest.audio_predictions WHERE session_id = ANY($1))
     + (SELECT count(*) FROM ingest.text_predictions WHERE session_id = ANY($1))
"""

Work = Mapping[Person, Sequence[PlannedSession]]


class TooLittleToSendError(Exception):
    """The devices had sent everything before the fault was over."""


@dataclass(frozen=True)
class Scene:
    """One fault's. Random choices are the seed's."""

    suite: Suite
    proxy: Proxy
    devices: Devices
    rng: random.Random
    disk_is_small: bool

    async def in_mid_stream(self) -> None:
        """Returns in a moment in which more is acknowledged, and something is in flight."""
        ledger = self.devices.ledger
        enough = len(ledger.acknowledged) + self.rng.randint(1, FIRST_ACKNOWLEDGEMENTS)
        await until(
            lambda: (len(ledger.acknowledged) >= enough and bool(ledger.in_flight)) or self.devices.finished,
            "devices stream",
        )
        if self.devices.finished:
            raise TooLittleToSendError

    async def is_silent(self, seconds: float) -> None:
        """Returns when nothing was acknowledged for so long."""
        loop = asyncio.get_running_loop()
        seen, since = -1, loop.time()
        while loop.time() - since < seconds:
            if (now := len(self.devices.ledger.acknowledged)) != seen:
                seen, since = now, loop.time()
            if self.devices.finished:
                raise TooLittleToSendError
            await asyncio.sleep(0.01)


Strike = Callable[[Scene], Awaitable[None]]


@dataclass(frozen=True)
class Fault:
    """`strike` begins while devices stream, and ends when nothing is in their way any more."""

    strike: Strike
    devices: type[Devices] = Devices


@dataclass(frozen=True)
class Round:
    acknowledged: int  # predictions
    violations: Sequence[Difference]


class Stage:
    def __init__(
        self, suite: Suite, proxy: Proxy, listener: Listener, people: Sequence[Person], disk_is_small: bool
    ) -> None:
        self.suite = suite
        self.proxy = proxy
        self.listener = listener
        self.disk_is_small = disk_is_small
        self._people = people

    async def play(self, fault: Fault, seed: int) -> Round:
        people = await self.people()
        now = datetime.now(UTC)
        work = {p: seeded(seed, p.name, now, sessions=SESSIONS, chunks=CHUNKS) for p in people}
        after = await until_reached(self.listener.head)
        rng = random.Random(seed)  # noqa: S311 - repeatable on purpose
        async with fault.devices(self.proxy.address, work) as devices:
            devices.tap.set()
            try:
                await fault.strike(Scene(self.suite, self.proxy, devices, rng, self.disk_is_small))
            finally:
                self.proxy.heal()
            await devices.finish()
        acknowledged = acknowledged_predictions(work, devices.ledger)
        found = await self.violations(sent_predictions(work), acknowledged, after, _tokens(work), devices.streams)
        return Round(len(acknowledged), found)

    async def violations(
        self,
        sent: Mapping[PredictionKey, Prediction],
        acknowledged: set[PredictionKey],
        after: int,
        tokens: Mapping[str, Metadata],
        streams: Mapping[str, int] | None = None,
    ) -> list[Difference]:
        """`after`: where the feed stood; `tokens`: of the owner of each session."""
        stored = await self._stored(tokens)
        return [
            *violations(sent, acknowledged, stored, await self.listener.told(after), streams),
            *await self._rows_that_nobody_reads(tokens, len(stored)),
        ]

    async def people(self) -> list[Person]:
        """With tokens that last for a while."""
        async with channel(self.suite.plan.address("identity")) as identity:
            tokens = TokenServiceStub(identity)

            async def renewed(person: Person) -> Person:
                request = ExchangeApiKeyRequest(api_key=person.api_key)
                traded = await until_reached(lambda: tokens.ExchangeApiKey(request, timeout=CALL_SECONDS))
                return replace(person, token=bearer(traded.token.access_token))

            return list(await asyncio.gather(*map(renewed, self._people)))

    async def _stored(self, tokens: Mapping[str, Metadata]) -> list[Stored]:
        """What anybody reads who may."""
        async with channel(self.suite.plan.address("ingest")) as ingest:
            calls = [
                _read(IngestServiceStub(ingest), session_id, modality, token)
                for session_id, token in tokens.items()
                for modality in MODALITIES
            ]
            return list(chain.from_iterable(await asyncio.gather(*calls)))

    async def _rows_that_nobody_reads(self, tokens: Mapping[str, Metadata], read: int) -> list[Difference]:
        connection = await asyncpg.connect(self.suite.dsn)
        try:
            rows = await connection.fetchval(COUNT_ROWS, list(tokens))
        finally:
            await connection.close()
        return [] if rows == read else [Difference("ingest", (), "rows", read, rows)]


async def _read(ingest: Any, session_id: str, modality: int, token: Metadata) -> list[Stored]:
    found: list[Stored] = []
    request = ListPredictionsRequest(session_id=session_id, modality=modality, page_size=PAGE_SIZE)  # type: ignore[arg-type]
    while True:
        page = await until_reached(lambda: ingest.ListPredictions(request, metadata=token, timeout=CALL_SECONDS))
        found += [Stored(session_id, one.batch_number, one.prediction) for one in page.predictions]
        if not page.next_page_token:
            return found
        request.page_token = page.next_page_token


def _sessions(work: Work) -> list[PlannedSession]:
    return list(chain.from_iterable(work.values()))


def _tokens(work: Work) -> dict[str, Metadata]:
    return {str(session.session_id): person.token for person, sessions in work.items() for session in sessions}


def sent_predictions(work: Work) -> dict[PredictionKey, Prediction]:
    """In the order of their first sending; none is repeated with other content."""
    found: dict[PredictionKey, Prediction] = {}
    for session in _sessions(work):
        for prediction in chain.from_iterable(batch.predictions for batch in session.batches):
            found.setdefault(key_of(str(session.session_id), prediction), prediction)
    return found


def acknowledged_predictions(work: Work, ledger: Ledger) -> set[PredictionKey]:
    return {
        key_of(str(session.session_id), prediction)
        for session in _sessions(work)
        for batch in session.batches
        if (session.session_id, batch.batch_number) in ledger.acknowledged
        for prediction in batch.predictions
    }


@asynccontextmanager
async def open_stage(
    snapshot: Snapshot, name: str, seed: int, modules: Mapping[str, str] | None = None
) -> AsyncIterator[Stage]:
    """Upon a copy of the snapshot; Postgres has a disk of its own where that can be had."""
    folder = snapshot.folder.with_name(name)
    with small_disk(folder / "postgres") as disk_is_small:
        async with snapshot.running(name, SERVICES, modules) as suite:
            rng = random.Random(seed)  # noqa: S311 - repeatable on purpose
            async with Proxy(suite.plan.address("ingest"), rng) as proxy, Listener(suite.plan) as listener:
                yield Stage(suite, proxy, listener, list(snapshot.work), disk_is_small)
