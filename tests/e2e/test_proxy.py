"""The proxy does to connections what it says."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from tests.e2e.polling import PATIENCE_SECONDS, until
from tests.e2e.proxy import HOST, PREFACE, Frames, Proxy


def frame(kind: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, 0)) + (1).to_bytes(4, "big") + payload


DATA, HEADERS = 0, 1
SAID = PREFACE + frame(HEADERS, b"h" * 40) + frame(DATA, b"d" * 100) + frame(DATA, b"") + frame(DATA, b"e" * 50)


def test_finds_the_payloads_of_data_however_the_bytes_come() -> None:
    whole = list(Frames(len(PREFACE)).data(SAID))
    assert [SAID[begin : begin + length] for begin, length in whole] == [b"d" * 100, b"e" * 50]
    for size in (1, 7, 64):
        frames = Frames(len(PREFACE))
        pieces = [SAID[at : at + size] for at in range(0, len(SAID), size)]
        begins = [number * size + begin for number, piece in enumerate(pieces) for begin, _ in frames.data(piece)]
        assert begins == [begin for begin, _ in whole]


class Echo:
    """Answers everything with itself, and remembers what it heard on each connection."""

    def __init__(self) -> None:
        self.heard: list[bytearray] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard = bytearray()
        self.heard.append(heard)
        try:
            while received := await reader.read(1 << 16):
                heard += received
                writer.write(received)
        finally:
            writer.transport.abort()


@asynccontextmanager
async def echo_behind_a_proxy() -> AsyncIterator[tuple[Echo, Proxy]]:
    echo = Echo()
    async with await asyncio.start_server(echo.serve, HOST, 0) as server:
        upstream = f"{HOST}:{server.sockets[0].getsockname()[1]}"
        async with Proxy(upstream, random.Random(1)) as proxy:  # noqa: S311 - repeatable on purpose
            yield echo, proxy


async def connected(proxy: Proxy) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, _, port = proxy.address.rpartition(":")
    return await asyncio.open_connection(host, int(port))


async def ended(reader: asyncio.StreamReader) -> None:
    with suppress(ConnectionError):
        await asyncio.wait_for(reader.read(), PATIENCE_SECONDS)


async def test_passes_holds_and_delays() -> None:
    async with echo_behind_a_proxy() as (echo, proxy):
        reader, writer = await connected(proxy)
        writer.write(PREFACE)
        assert await reader.readexactly(len(PREFACE)) == PREFACE
        proxy.hold("down")
        writer.write(frame(DATA, b"held"))
        answer = asyncio.create_task(reader.readexactly(13))
        await until(lambda: len(echo.heard[0]) == len(PREFACE) + 13, "the service hears it")
        assert not answer.done()
        proxy.delay = lambda: 0.05
        proxy.release("down")
        assert await asyncio.wait_for(answer, PATIENCE_SECONDS) == frame(DATA, b"held")
        writer.close()


async def test_cuts_within_a_message() -> None:
    async with echo_behind_a_proxy() as (echo, proxy):
        reader, writer = await connected(proxy)
        cutting = asyncio.create_task(proxy.cut_in_message("up"))
        await asyncio.sleep(0)
        writer.write(PREFACE + frame(HEADERS, b"h" * 40) + frame(DATA, b"d" * 100))
        await asyncio.wait_for(cutting, PATIENCE_SECONDS)
        await ended(reader)
        begins = len(PREFACE) + 9 + 40 + 9
        assert begins <= len(echo.heard[0]) < begins + 100
        writer.close()


async def test_plays_a_connection_of_before_once_more() -> None:
    async with echo_behind_a_proxy() as (echo, proxy):
        reader, writer = await connected(proxy)
        writer.write(SAID)
        await reader.readexactly(len(SAID))
        proxy.cut()
        await ended(reader)
        await proxy.replay()
        assert [bytes(heard) for heard in echo.heard] == [SAID, SAID]
        writer.close()
