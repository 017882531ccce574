"""From events of ingest's feed to committed rows, by the follower's own code."""

import asyncio
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import psutil

from bench.fuse.copying import copy_rate
from bench.fuse.memory import Progress
from bench.pipeline.messages import Batches
from libs.common.clock import utc_now
from libs.common.db import partitions
from libs.common.db.database import Database
from libs.common.db.embedded import EmbeddedPostgres
from libs.common.db.migrate import migrate_all
from libs.common.db.roles import dsn_for, slice_role
from libs.common.feed.apply import Applier
from libs.common.feed.cursor import Cursor, create_cursor
from libs.common.feed.inbox import Inbox
from libs.common.rpc.app import collect_seldom
from quietus.common.v1.feed_pb2 import FeedPayload
from quietus.ingest.v1.ingest_pb2 import StreamPredictionsRequest
from quietus_edge.ids import EPOCH, uuid7
from services.fusion.app import handlers
from services.fusion.models import SHIPPED
from services.fusion.service.registry import load_models
from services.fusion.settings import FusionSettings
from services.ingest.events import event_head, predictions_committed
from services.ingest.sessions import SessionKey

SLICE = "fusion"
SESSIONS = 64
# What ingest commits together under load.
EVENTS_AT_A_POSITION = 64
EVENTS_IN_A_ROUND = 8_192
INBOX_BYTES = 2 * 1024 * 1024  # as in libs.common.feed.partition
# As the pipeline's bench has it: windows are sent faster than they are lived.
SESSION_AGE = timedelta(hours=6)


async def measure(seconds: float, progress: Progress) -> dict[str, float]:
    collect_seldom()
    with _postgres() as (server, admin_dsn):
        await asyncio.to_thread(migrate_all, admin_dsn, [SLICE])
        database = Database(dsn_for(admin_dsn, slice_role(SLICE)), SLICE)
        try:
            return await _measure(database, server, admin_dsn, seconds, progress)
        finally:
            await database.close()


async def _measure(
    database: Database, server: psutil.Process, admin_dsn: str, seconds: float, progress: Progress
) -> dict[str, float]:
    async with database.transaction() as tx:
        await partitions.ensure_partitions(tx, utc_now().date().replace(day=1), 1)
    follower, source = await _Follower.make(database), _Source()
    await follower.follow(source.payloads(EVENTS_IN_A_ROUND))
    events = follower.transactions = 0
    spent, cpu = 0.0, _Cpu(0.0, 0.0)
    while spent < seconds:
        payloads = source.payloads(EVENTS_IN_A_ROUND)
        before, start = _Cpu.of(server), time.perf_counter()
        await follower.follow(payloads)
        spent, cpu = spent + time.perf_counter() - start, cpu.plus(_Cpu.of(server), before)
        events += EVENTS_IN_A_ROUND
        progress("from the feed to rows", spent / seconds)
    copied = await copy_rate(admin_dsn)
    return {
        "feed_to_rows_chunks_per_s": events / spent,
        "feed_to_rows_vs_copy": events / spent / copied,
        "copy_chunks_per_s": copied,
        "follower_us_per_chunk": cpu.own / events * 1e6,
        "postgres_us_per_chunk": cpu.postgres / events * 1e6,
        "chunks_per_transaction": events / follower.transactions,
    }


class _Source:
    """What ingest would tell of devices that send one chunk a batch."""

    def __init__(self) -> None:
        start = datetime.now(UTC) - SESSION_AGE
        self._sessions = [SessionKey(uuid7(start), uuid4(), f"anon_{number}") for number in range(SESSIONS)]
        self._batches = [Batches(str(one.session_id), seed) for seed, one in enumerate(self._sessions)]
        self._heads = [event_head(one) for one in self._sessions]

    def payloads(self, events: int) -> Sequence[bytes]:
        return [
            FeedPayload(events=[self._event(turn) for turn in range(EVENTS_AT_A_POSITION)]).SerializeToString()
            for _ in range(events // EVENTS_AT_A_POSITION)
        ]

    def _event(self, turn: int) -> bytes:
        number = turn % SESSIONS
        batch = StreamPredictionsRequest.FromString(self._batches[number].next()).batch.SerializeToString()
        now = (datetime.now(UTC) - EPOCH) // EPOCH.resolution
        return predictions_committed(self._sessions[number].user_id, self._heads[number], now, batch).event


@dataclass
class _Follower:
    """What libs.common.feed.partition does with a stream, without the stream."""

    applier: Applier
    max_events: int
    position: int = 0
    received: int = 0
    transactions: int = 0

    @classmethod
    async def make(cls, database: Database) -> "_Follower":
        handler = handlers(await load_models(database, SHIPPED))["ingest"]
        async with database.transaction() as tx:
            await create_cursor(tx, "ingest", 0, Cursor(UUID(int=1), 0))
        max_events = FusionSettings.model_fields["max_events_per_transaction"].default
        return cls(Applier(database, "ingest", 0, handler), max_events)

    async def follow(self, payloads: Sequence[bytes]) -> None:
        inbox = Inbox(INBOX_BYTES)
        receiving = asyncio.ensure_future(self._receive(payloads, inbox))
        while batches := await inbox.take(self.max_events):
            events = [event for batch in batches for event in batch.events]
            if await self.applier.apply(events, self.position, batches[-1].position):
                raise RuntimeError("events were parked")
            self.position = batches[-1].position
            self.transactions += 1
        await receiving

    async def _receive(self, payloads: Sequence[bytes], inbox: Inbox) -> None:
        for payload in payloads:
            self.received += 1
            await inbox.receive(payload, self.received, utc_now(), self.applier.handler.read)
            await asyncio.sleep(0)  # as a stream's read does
        inbox.end()


@dataclass(frozen=True)
class _Cpu:
    """Seconds of processor time."""

    own: float
    postgres: float

    @classmethod
    def of(cls, server: psutil.Process) -> "_Cpu":
        return cls(time.process_time(), sum(_seconds(one) for one in server.children(recursive=True)))

    def plus(self, after: "_Cpu", before: "_Cpu") -> "_Cpu":
        return _Cpu(self.own + after.own - before.own, self.postgres + after.postgres - before.postgres)


def _seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


@contextmanager
def _postgres() -> Iterator[tuple[psutil.Process, str]]:
    with tempfile.TemporaryDirectory(prefix="quietus-bench-") as folder:
        server = EmbeddedPostgres(Path(folder) / "postgres")
        try:
            admin_dsn = server.start()
            yield psutil.Process(server.process_id), admin_dsn
        finally:
            server.stop()
