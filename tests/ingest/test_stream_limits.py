"""What one stream may ask for, with a store and a client that do as they are told."""

import asyncio

import pytest
from grpc.aio import EOF

from libs.common.rpc.drain import DrainSignal
from libs.common.rpc.errors import AppError, ErrorKind
from quietus.ingest.v1 import ingest_pb2
from services.ingest.allowance import Allowance
from services.ingest.service import devices as devices_module
from services.ingest.service.committer import Committer
from services.ingest.service.devices import Device
from services.ingest.service.stream import Acknowledged, Answer, CreditChanged, PredictionStream, StreamLimits
from tests.ingest import make
from tests.ingest.committing import LIMITS, RecordingLane, Store, running


class Client:
    """Sends what it is told to, and reads if it is told to."""

    def __init__(self) -> None:
        self.requests: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.answers: list[Answer] = []
        self.all_taken = asyncio.Event()
        self.heard = asyncio.Event()
        self.reads = asyncio.Event()
        self.reads.set()

    def send(self, number: int, predictions: int = 1) -> None:
        batch = make.batch(number, [make.vision() for _ in range(predictions)])
        self.requests.put_nowait(ingest_pb2.StreamPredictionsRequest(batch=batch).SerializeToString())

    def end(self) -> None:
        self.requests.put_nowait(None)

    async def read(self) -> object:
        request = await self.requests.get()
        if request is None:
            return EOF
        if self.requests.empty():
            self.all_taken.set()
        return request

    async def write(self, answer: Answer) -> None:
        await self.reads.wait()
        self.answers.append(answer)
        self.heard.set()

    @property
    def acknowledged(self) -> int:
        return max([a.through_batch_number for a in self.answers if isinstance(a, Acknowledged)], default=0)


class Measuring(Client):
    """Sees what waits each time that its stream is about to be read further."""

    def __init__(self, committer: Committer) -> None:
        super().__init__()
        self._committer = committer
        self.most_bytes = 0

    async def read(self) -> object:
        self.most_bytes = max(self.most_bytes, self._committer.queued_bytes)
        return await super().read()


async def serve(client: Client, store: Store, limits: StreamLimits, device: Device | None = None) -> None:
    async with running(store) as committer:
        await made(store, committer, limits, device).serve(
            client.read, client.write, DrainSignal(asyncio.Event(), 3600)
        )


def made(store: Store, committer: Committer, limits: StreamLimits, device: Device | None = None) -> PredictionStream:
    return PredictionStream(RecordingLane().batches, device or a_device(), committer, store.availability, limits)


def a_device(per_second: float = 1e6, burst: float = 1e6) -> Device:
    return Device(Allowance(per_second, burst), Allowance(1e6, 1e6))


def limits(batches: int = 10, predictions: int = 100, idle_seconds: float = 60) -> StreamLimits:
    return StreamLimits(batches, predictions, idle_seconds)


@pytest.mark.parametrize("allowed", [limits(batches=2), limits(predictions=4)])
async def test_more_than_the_credit_ends_the_stream_after_what_was_granted(allowed: StreamLimits) -> None:
    client, store = Client(), Store()
    store.open.clear()
    for number in (1, 2, 3):
        client.send(number, predictions=2)
    serving = asyncio.create_task(serve(client, store, allowed))
    await store.busy.wait()
    await client.all_taken.wait()
    store.open.set()
    with pytest.raises(AppError) as raised:
        await serving
    assert (raised.value.kind, raised.value.reason) == (ErrorKind.RESOURCE_EXHAUSTED, "CREDIT_EXCEEDED")
    assert client.acknowledged == 2


async def test_a_stream_that_never_sends() -> None:
    with pytest.raises(AppError) as raised:
        await serve(Client(), Store(), limits(idle_seconds=0.05))
    assert (raised.value.kind, raised.value.reason) == (ErrorKind.DEADLINE_EXCEEDED, "STREAM_IDLE")


async def test_who_waits_for_us_is_not_idle() -> None:
    client, store = Client(), Store()
    store.open.clear()
    client.send(1)
    serving = asyncio.create_task(serve(client, store, limits(idle_seconds=0.02)))
    _, pending = await asyncio.wait({serving}, timeout=0.1)
    assert pending == {serving}
    store.open.set()
    client.end()
    await serving
    assert client.acknowledged == 1


async def test_a_client_that_never_reads() -> None:
    client, store = Client(), Store()
    client.reads.clear()
    for number in (1, 2, 3):
        client.send(number)
    with pytest.raises(AppError) as raised:
        await serve(client, store, limits(idle_seconds=0.05))
    assert (raised.value.kind, raised.value.reason) == (ErrorKind.DEADLINE_EXCEEDED, "STREAM_IDLE")


async def test_an_error_of_the_store_ends_the_stream() -> None:
    client, store = Client(), Store()
    store.poison, store.error = {2}, AppError(ErrorKind.INTERNAL, "DATABASE_ERROR")
    client.send(1)
    serving = asyncio.create_task(serve(client, store, limits()))
    await client.heard.wait()
    client.send(2)
    with pytest.raises(AppError, match="DATABASE_ERROR"):
        await serving
    assert client.acknowledged == 1


async def test_without_the_database_a_stream_stays_open_without_credit_and_is_not_idle() -> None:
    client, store = Client(), Store()
    store.poison, store.error = {2}, AppError(ErrorKind.UNAVAILABLE, "DATABASE_UNAVAILABLE")
    client.send(2)
    serving = asyncio.create_task(serve(client, store, limits(idle_seconds=0.02)))
    await client.heard.wait()
    _, pending = await asyncio.wait({serving}, timeout=0.1)
    assert pending == {serving}
    assert client.answers == [CreditChanged(is_granted=False)]
    store.poison.clear()
    client.end()
    await serving
    assert CreditChanged(is_granted=True) in client.answers
    assert client.acknowledged == 2


async def test_a_device_of_which_much_waits_is_not_read_further(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices_module, "WAITING_BYTES_MAX", 1_000)
    client, store = Client(), Store()
    store.open.clear()
    for number in range(1, 61):
        client.send(number, predictions=20)
    client.end()
    device = a_device()
    serving = asyncio.create_task(serve(client, store, limits(batches=1_000, predictions=10_000), device))
    await store.busy.wait()
    await asyncio.sleep(0.1)
    assert device.waiting_bytes < 10_000
    assert not client.all_taken.is_set()
    store.open.set()
    await serving
    assert client.acknowledged == 60


async def test_who_owes_is_not_read_and_not_idle() -> None:
    client, store = Client(), Store()
    device = a_device(per_second=20, burst=1)
    client.send(1, predictions=5)
    serving = asyncio.create_task(serve(client, store, limits(idle_seconds=0.02), device))
    await client.heard.wait()
    assert device.is_in_debt
    for number in (2, 3):
        client.send(number)
    while client.acknowledged < 2:
        client.heard.clear()
        await client.heard.wait()
    assert client.requests.qsize() == 1
    client.end()
    await serving
    assert client.acknowledged == 3


async def test_a_drain_ends_a_stream_that_waits_for_room() -> None:
    client, store, drained = Client(), Store(), asyncio.Event()
    store.open.clear()
    async with running(store) as committer:
        stream = made(store, committer, limits(batches=1_000, predictions=1_000))
        serving = asyncio.create_task(stream.serve(client.read, client.write, DrainSignal(drained, 3600)))
        number = 0
        while not committer.is_full:
            number += 1
            client.send(number)
            await asyncio.sleep(0.001)
        client.send(number + 1)
        await asyncio.sleep(0.01)
        drained.set()
        store.open.set()
        async with asyncio.timeout(60):
            await serving
    assert client.acknowledged >= number


async def test_streams_that_waited_for_room_dont_overfill_the_queue() -> None:
    store, message_bytes = Store(), 1_000
    store.open.clear()
    async with running(store) as committer:
        clients = [Measuring(committer) for _ in range(50)]
        for client in clients:
            for number in (1, 2, 3):
                client.send(number)
            client.end()
        streams = [made(store, committer, limits()) for _ in clients]
        drain = DrainSignal(asyncio.Event(), 3600)
        serving = [
            asyncio.create_task(stream.serve(client.read, client.write, drain))
            for stream, client in zip(streams, clients, strict=True)
        ]
        await store.busy.wait()
        store.open.set()
        await asyncio.gather(*serving)
    assert {client.acknowledged for client in clients} == {3}
    assert LIMITS.queue_bytes <= max(client.most_bytes for client in clients) < LIMITS.queue_bytes + message_bytes


async def test_an_empty_message_is_not_the_end() -> None:
    client = Client()
    client.send(1)
    client.requests.put_nowait(b"")
    with pytest.raises(AppError, match="BATCH_EMPTY"):
        await serve(client, Store(), limits())
    assert client.acknowledged == 1
