"""One run: inside first, then a process that is sent what nobody should send, while an honest client goes on."""

import asyncio
import shutil
import time
from collections import Counter
from collections.abc import Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from uuid import UUID, uuid4

import asyncpg
import grpc

from libs.common.rpc.caller import Caller
from libs.common.rpc.client import bearer
from libs.common.rpc.errors import reason_of
from libs.common.security.tokens import TokenSigner
from libs.common.timestamps import to_timestamp
from quietus.common.v1.options_pb2 import ROLE_DEVICE
from quietus.ingest.v1 import ingest_pb2
from quietus.ingest.v1.ingest_pb2_grpc import IngestServiceStub
from quietus_edge.retry import is_unreachable
from tests.e2e.polling import eventually
from tests.fuzz import frames, inside, process
from tests.fuzz.cases import Case, Corpus, Person
from tests.fuzz.target import KEY_ID, PRIVATE_KEY
from tests.ingest import make
from tests.ingest.suite import PATIENCE_SECONDS, Stream, ended

STREAM = "/quietus.ingest.v1.IngestService/StreamPredictions"
MESSAGE_WORKERS, FRAME_WORKERS = 4, 2
# Of the time: how long messages are read without a server, and how long the server may still grow.
INSIDE, WARM_UP = 0.15, 0.35
# How much more may be held at the end.
MORE_MIB, MORE_FILES, MORE_TASKS = 48.0, 4, 4
# What says nothing of the reason; OK and a client's own end are no errors.
UNTYPED = {grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL, grpc.StatusCode.UNAVAILABLE}
FINE = {grpc.StatusCode.OK, grpc.StatusCode.CANCELLED}


class FoundError(Exception):
    """What the run is for."""


@dataclass
class Report:
    seed: int
    seconds: float
    inside: int = 0
    streams: int = 0
    connections: int = 0
    honest_batches: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    before: process.Held | None = None
    after: process.Held | None = None


async def fuzz(dsn: str, folder: Path, seed: int, seconds: float) -> Report:
    """`dsn` is the administrator's, of a database with ingest's tables. FoundError: something is wrong."""
    report = Report(seed, seconds)
    look_inside(report, folder, seconds * INSIDE)
    async with process.running(dsn, folder) as target, connected(target.address) as channel:
        run = _Run(report, target, channel, folder)
        await run.go(seconds * (1 - INSIDE), dsn)
    return report


async def replay(dsn: str, folder: Path, file: Path) -> Report:
    """Sends the case of a file again."""
    report = Report(0, 0)
    case, person = Case.read(file)
    async with process.running(dsn, folder) as target, connected(target.address) as channel:
        run = _Run(report, target, channel, folder)
        await run.start_session(person)
        await run.send(case, person)
        run.check_log()
    return report


@asynccontextmanager
async def connected(address: str):  # type: ignore[no-untyped-def]
    async with grpc.aio.insecure_channel(address) as channel:
        yield channel


def look_inside(report: Report, folder: Path, seconds: float) -> None:
    """FoundError: a message is not read as it should be."""
    person = Person.new()
    session, corpus = inside.batches_of(person), Corpus(person, Random(f"{report.seed} corpus"))
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        case = corpus.case(f"inside-{report.inside}", Random(f"{report.seed} inside {report.inside}"))
        report.inside += 1
        for message in case.messages[1:]:
            try:
                inside.check(session, message)
            except Exception as error:
                file = Case(case.name, [corpus.opening(), message], False).write(folder, person)
                raise FoundError(f"{type(error).__name__} inside; the message is in {file}") from error


class _Run:
    def __init__(self, report: Report, target: process.Target, channel: grpc.aio.Channel, folder: Path) -> None:
        self._report = report
        self._target = target
        self._channel = channel
        self._folder = folder
        self._stub = IngestServiceStub(channel)
        self._user_id = uuid4()
        signer = TokenSigner(PRIVATE_KEY, KEY_ID)
        expires_at = datetime.now(UTC) + timedelta(hours=12)
        caller = Caller(self._user_id, ROLE_DEVICE, frozenset(), "anon_fuzz", None, None, expires_at)
        self._metadata = bearer(signer.sign(caller))

    async def go(self, seconds: float, dsn: str) -> None:
        honest = _Honest(self)
        async with asyncio.TaskGroup() as group:
            going = group.create_task(honest.go())
            await self._abuse(seconds * WARM_UP, "warm")
            self._report.before = await self._settled(streams=1)
            await self._abuse(seconds * (1 - WARM_UP), "main")
            honest.stop.set()
            await going
        self._report.honest_batches = honest.acknowledged
        self._report.after = await self._settled(streams=0)
        self.check_log()
        await honest.check_stored_once(dsn)
        self._check_held()

    async def _abuse(self, seconds: float, part: str) -> None:
        end = time.monotonic() + seconds
        async with asyncio.TaskGroup() as group:
            for worker in range(MESSAGE_WORKERS):
                group.create_task(self._send_messages(f"{part}-{worker}", end))
            for worker in range(FRAME_WORKERS):
                group.create_task(self._send_frames(f"{part}-{worker}", end))

    async def _send_messages(self, worker: str, end: float) -> None:
        person = await self.start_session(Person.new())
        corpus = Corpus(person, Random(f"{self._report.seed} {worker} corpus"))
        number = 0
        while time.monotonic() < end:
            number += 1
            case = corpus.case(f"{worker}-{number}", Random(f"{self._report.seed} {worker} {number}"))
            await self.send(case, person)
            self._report.streams += 1

    async def _send_frames(self, worker: str, end: float) -> None:
        person = await self.start_session(Person.new())
        corpus = Corpus(person, Random(f"{self._report.seed} {worker} frames corpus"))
        token = dict(self._metadata)["authorization"]
        number = 0
        while time.monotonic() < end:
            number += 1
            random = Random(f"{self._report.seed} {worker} frames {number}")
            case = corpus.case(f"frames-{worker}-{number}", random)
            data = frames.connection(str(token), case.messages, random)
            await frames.send(self._target.port, data)
            if not self._target.is_alive:
                (self._folder / f"{case.name}.bin").write_bytes(data)
                raise FoundError(f"the server died; see {self._folder}")
            self._report.connections += 1

    async def start_session(self, person: Person) -> Person:
        request = ingest_pb2.StartSessionRequest(
            session_id=str(person.session_id), start_time=to_timestamp(person.start_time)
        )
        await self._stub.StartSession(request, metadata=self._metadata, timeout=PATIENCE_SECONDS)
        return person

    async def send(self, case: Case, person: Person) -> None:
        code, reason = await self._ending(case)
        self._report.ends[f"{code.name} {reason}".strip()] += 1
        if not self._target.is_alive or code in UNTYPED or (code not in FINE and not reason):
            file = case.write(self._folder, person)
            raise FoundError(f"a stream ended with {code.name} {reason or 'and no reason'}; its messages are in {file}")

    async def _ending(self, case: Case) -> tuple[grpc.StatusCode, str]:
        call = self.open_call()
        try:
            for message in case.messages:
                await call.write(message)
            if case.goes_away:
                call.cancel()
                return grpc.StatusCode.CANCELLED, ""
            await call.done_writing()
            while await call.read() is not grpc.aio.EOF:
                pass
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            pass  # what it ended with is asked below
        error = await ended(call)
        if is_unreachable(error):  # grpc.aio's own word for a stream that ended while it was written to
            return grpc.StatusCode.CANCELLED, ""
        return error.code(), reason_of(error)

    def open_call(self) -> grpc.aio.StreamStreamCall:
        method: Callable[..., grpc.aio.StreamStreamCall] = self._channel.stream_stream(
            STREAM, response_deserializer=ingest_pb2.StreamPredictionsResponse.FromString
        )
        return method(metadata=self._metadata, timeout=PATIENCE_SECONDS)

    def open_long_call(self) -> grpc.aio.StreamStreamCall:
        return self._stub.StreamPredictions(metadata=self._metadata)

    async def _settled(self, streams: int) -> process.Held:
        """When the server has noticed that everybody has gone."""

        async def open_streams() -> str:
            held = await self._target.held()
            return "" if held.streams <= streams else f"{held.streams} streams are open"

        await eventually(open_streams, "abandoned streams end", PATIENCE_SECONDS)
        await asyncio.sleep(0.5)  # connections close after their streams
        return await self._target.held()

    def check_log(self) -> None:
        if complaints := self._target.complaints():
            raise FoundError(f"{len(complaints)} complaints in the log, the first: {complaints[0]}")

    def _check_held(self) -> None:
        before, after = self._report.before, self._report.after
        assert before
        assert after
        more = {
            "MiB": (after.resident_mib - before.resident_mib, MORE_MIB),
            "files": (after.files - before.files, MORE_FILES),
            "tasks": (after.tasks - before.tasks, MORE_TASKS),
        }
        if leaks := [f"{found:.0f} more {name}" for name, (found, most) in more.items() if found > most]:
            raise FoundError(f"{', '.join(leaks)} after the run: {before} {after}")


class _Honest:
    """A client that does as it should, and whose batches have to be acknowledged whole."""

    def __init__(self, run: _Run) -> None:
        self._run = run
        self._person = Person.new()
        self.stop = asyncio.Event()
        self.acknowledged = 0
        self._chunks: list[UUID] = []

    async def go(self) -> None:
        await self._run.start_session(self._person)
        stream = Stream(self._run.open_long_call())
        await stream.open(self._person.session_id)
        while not self.stop.is_set():
            prediction = make.vision()
            self._chunks.append(UUID(prediction.chunk_id))
            await stream.send(self.acknowledged + 1, [prediction])
            async with asyncio.timeout(PATIENCE_SECONDS):
                if outcomes := await stream.acknowledged(self.acknowledged + 1):
                    raise FoundError(f"an honest batch was not accepted whole: {outcomes}")
            self.acknowledged += 1
            await asyncio.sleep(0.01)
        await stream.call.done_writing()
        assert await stream.call.code() is grpc.StatusCode.OK

    async def check_stored_once(self, dsn: str) -> None:
        connection = await asyncpg.connect(dsn)
        try:
            rows = await connection.fetch(
                "SELECT chunk_id FROM ingest.vision_predictions WHERE session_id = $1 ORDER BY batch_number",
                self._person.session_id,
            )
        finally:
            await connection.close()
        if [row["chunk_id"] for row in rows] != self._chunks:
            raise FoundError(
                f"{len(self._chunks)} batches were acknowledged to the honest client, {len(rows)} are stored"
            )


def fresh(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
