"""A TCP proxy in front of one service that treats connections as bad networks do. It knows HTTP/2's frames."""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import TracebackType
from typing import Literal

Direction = Literal["up", "down"]  # towards the service, towards its client

HOST = "127.0.0.1"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
FRAME_HEADER_BYTES = 9
DATA = 0
READ_BYTES = 16_384
# What is kept of a connection to be played again. More at once may be beyond what the service lets a client send.
KEPT_BYTES = 60_000
KEPT_CONNECTIONS = 4
REPLAY_SECONDS = 0.2


class Frames:
    """Follows one direction of an HTTP/2 connection."""

    def __init__(self, skip_bytes: int = 0) -> None:
        self._skip = skip_bytes
        self._header = b""

    def data(self, received: bytes) -> Iterator[tuple[int, int]]:
        """(begin, length) of the payload of each DATA frame of two bytes or more that begins in what was received."""
        at = 0
        while at < len(received):
            if self._skip:
                step = min(self._skip, len(received) - at)
                self._skip -= step
                at += step
                continue
            step = min(FRAME_HEADER_BYTES - len(self._header), len(received) - at)
            self._header += received[at : at + step]
            at += step
            if len(self._header) == FRAME_HEADER_BYTES:
                self._skip, kind = int.from_bytes(self._header[:3]), self._header[3]
                self._header = b""
                if kind == DATA and self._skip > 1:
                    yield at, self._skip


class Proxy:
    """Passes everything on at once unless told otherwise.

    `delay` gives the seconds that each piece waits, `bytes_per_second` throttles each direction of a connection.
    """

    def __init__(self, upstream: str, rng: random.Random) -> None:
        self.delay: Callable[[], float] | None = None
        self.bytes_per_second = 0.0
        self.answers_to_replays = 0
        self._host, _, port = upstream.rpartition(":")
        self._port = int(port)
        self._rng = rng
        self._passing = {"up": asyncio.Event(), "down": asyncio.Event()}
        self._cut_in_data: Direction | None = None
        self._cut = asyncio.Event()
        self._connections: set[_Connection] = set()
        self._kept: deque[bytearray] = deque(maxlen=KEPT_CONNECTIONS)
        self._tasks: set[asyncio.Task[None]] = set()
        self.heal()

    async def __aenter__(self) -> "Proxy":
        self._server = await asyncio.start_server(self._accept, HOST, 0)
        self.address = f"{HOST}:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def heal(self) -> None:
        """Everything as it should be."""
        self.delay, self.bytes_per_second, self._cut_in_data = None, 0.0, None
        for passing in self._passing.values():
            passing.set()

    def hold(self, *directions: Direction) -> None:
        """Nothing passes there until release() or heal(), and nobody is told."""
        for direction in directions:
            self._passing[direction].clear()

    def release(self, *directions: Direction) -> None:
        for direction in directions:
            self._passing[direction].set()

    def cut(self) -> None:
        """Every connection that is open, in whatever it was saying."""
        for connection in list(self._connections):
            connection.abort()

    async def cut_in_message(self, direction: Direction) -> None:
        """Waits for the next DATA frame there, passes on a part of it and cuts every connection."""
        self._cut.clear()
        self._cut_in_data = direction
        await self._cut.wait()

    async def replay(self) -> None:
        """Plays what clients said on connections of before once more, all at once, each on a connection of its own:
        duplicates that were long under way, and now come after what was said later.
        """
        await asyncio.gather(*(self._play(bytes(said)) for said in self._kept))

    async def _play(self, said: bytes) -> None:
        reader, writer = await asyncio.open_connection(self._host, self._port)
        writer.write(said)
        frames = Frames()
        with suppress(TimeoutError, OSError):
            async with asyncio.timeout(REPLAY_SECONDS):
                while received := await reader.read(READ_BYTES):
                    self.answers_to_replays += len(list(frames.data(received)))
        writer.transport.abort()

    def _accept(self, client_reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(client_reader, client))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, client_reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        try:
            service_reader, service = await asyncio.open_connection(self._host, self._port)
        except OSError:
            client.transport.abort()
            return
        connection = _Connection(client, service)
        self._connections.add(connection)
        kept = bytearray()
        self._kept.append(kept)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump("up", client_reader, service, kept))
                group.create_task(self._pump("down", service_reader, client, None))
        except* OSError:
            pass
        finally:
            connection.abort()
            self._connections.discard(connection)

    async def _pump(
        self, direction: Direction, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, kept: bytearray | None
    ) -> None:
        """Either end of a connection ends both directions."""
        frames = Frames(len(PREFACE) if direction == "up" else 0)
        while received := await reader.read(READ_BYTES):
            if self.delay:
                await asyncio.sleep(self.delay())
            if self.bytes_per_second:
                await asyncio.sleep(len(received) / self.bytes_per_second)
            await self._passing[direction].wait()
            data = list(frames.data(received))
            if data and self._cut_in_data == direction:
                self._pass_a_part(received, data, writer)
                raise ConnectionAbortedError
            if kept is not None and len(kept) < KEPT_BYTES:
                kept += received
            writer.write(received)
            await writer.drain()
        raise ConnectionResetError

    def _pass_a_part(self, received: bytes, data: list[tuple[int, int]], writer: asyncio.StreamWriter) -> None:
        begin, length = self._rng.choice(data)
        writer.write(received[: begin + self._rng.randrange(length)])
        self._cut_in_data = None
        self._cut.set()
        asyncio.get_running_loop().call_soon(self.cut)


class _Connection:
    def __init__(self, *writers: asyncio.StreamWriter) -> None:
        self._writers = writers

    def abort(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
