"""A gRPC stream from the client's side, as little of HTTP/2 (RFC 9113) as that takes.

grpc.aio spends as much on a sent message as a server on a received one; on a machine of two cores such a generator
would measure itself. This one writes prepared frames to the socket, and reads acknowledgements.
"""

import asyncio
import struct
from collections import deque
from collections.abc import Callable
from typing import cast

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM, END_HEADERS, ACK = 0x1, 0x4, 0x1
INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE = 0x4, 16_384
DEFAULT_WINDOW = 65_535
MAX_WINDOW = 2**31 - 1
STREAM = 1

_FRAME = struct.Struct(">HBBBI")
_MESSAGE = struct.Struct(">BI")
_WORD = struct.Struct(">I")
_SETTING = struct.Struct(">HI")


class GrpcStream(asyncio.Protocol):
    """One connection with one stream. `on_message` gets each response message, `on_end` what ended the stream."""

    def __init__(
        self, path: str, authority: str, metadata: dict[str, str], on_message: Callable[[bytes], None]
    ) -> None:
        self._request_headers = {
            ":method": "POST",
            ":scheme": "http",
            ":path": path,
            ":authority": authority,
            "te": "trailers",
            "content-type": "application/grpc",
            **metadata,
        }
        self._on_message = on_message
        self._received = b""
        self._messages = b""
        self._waiting: deque[bytes] = deque()
        self._connection_window = DEFAULT_WINDOW
        self._stream_window = DEFAULT_WINDOW
        self._initial_window = DEFAULT_WINDOW
        self._transport: asyncio.WriteTransport | None = None
        self.ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)  # uvloop's is no subclass
        # What comes back is small: one large window each, and no accounting.
        self._transport.write(
            PREFACE
            + _frame(SETTINGS, 0, 0, _SETTING.pack(INITIAL_WINDOW_SIZE, MAX_WINDOW))
            + _frame(WINDOW_UPDATE, 0, 0, _WORD.pack(MAX_WINDOW - DEFAULT_WINDOW))
            + _frame(HEADERS, END_HEADERS, STREAM, b"".join(map(_header, self._request_headers.items())))
        )

    def send(self, message: bytes) -> None:
        self._waiting.append(_MESSAGE.pack(0, len(message)) + message)
        self._flush()

    def close(self) -> None:
        if self._transport:
            self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        self._end("connection lost")

    def data_received(self, data: bytes) -> None:
        data = self._received + data
        at = 0
        while len(data) - at >= _FRAME.size:
            high, low, kind, flags, stream = _FRAME.unpack_from(data, at)
            end = at + _FRAME.size + (high << 8 | low)
            if end > len(data):
                break
            self._take(kind, flags, stream, data[at + _FRAME.size : end])
            at = end
        self._received = data[at:]

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == DATA:
            self._take_data(payload)
        elif kind == WINDOW_UPDATE:
            increment = _WORD.unpack(payload)[0]
            if stream:
                self._stream_window += increment
            else:
                self._connection_window += increment
            self._flush()
        elif kind == SETTINGS and not flags & ACK:
            self._take_settings(payload)
        elif kind == PING and not flags & ACK:
            self._write(_frame(PING, ACK, 0, payload))
        elif kind == HEADERS and flags & END_STREAM:
            self._end("trailers")
        elif kind in (RST_STREAM, GOAWAY):
            self._end("reset" if kind == RST_STREAM else "goaway")

    def _take_data(self, payload: bytes) -> None:
        data = self._messages + payload
        at = 0
        while len(data) - at >= _MESSAGE.size:
            end = at + _MESSAGE.size + _MESSAGE.unpack_from(data, at)[1]
            if end > len(data):
                break
            self._on_message(data[at + _MESSAGE.size : end])
            at = end
        self._messages = data[at:]

    def _take_settings(self, payload: bytes) -> None:
        for identifier, value in _SETTING.iter_unpack(payload):
            if identifier == INITIAL_WINDOW_SIZE:
                self._stream_window += value - self._initial_window
                self._initial_window = value
        self._write(_frame(SETTINGS, ACK, 0, b""))
        self._flush()

    def _flush(self) -> None:
        """Sends whole frames as far as the windows go."""
        frames: list[bytes] = []
        while self._waiting and (room := min(self._connection_window, self._stream_window, MAX_FRAME_SIZE)) > 0:
            data = self._waiting.popleft()
            if len(data) > room:
                self._waiting.appendleft(data[room:])
                data = data[:room]
            self._connection_window -= len(data)
            self._stream_window -= len(data)
            frames.append(_frame(DATA, 0, STREAM, data))
        if frames:
            self._write(b"".join(frames))

    def _write(self, data: bytes) -> None:
        if self._transport:
            self._transport.write(data)

    def _end(self, reason: str) -> None:
        if not self.ended.done():
            self.ended.set_result(reason)


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return _FRAME.pack(len(payload) >> 8, len(payload) & 0xFF, kind, flags, stream) + payload


def _header(item: tuple[str, str]) -> bytes:
    """A literal field without indexing (RFC 7541, section 6.2.2), not Huffman coded."""
    return b"\x00" + b"".join(_literal(part.encode()) for part in item)


def _literal(value: bytes) -> bytes:
    if len(value) < 127:
        return bytes((len(value),)) + value
    rest, length = len(value) - 127, bytearray((127,))
    while rest > 127:
        length.append(rest & 127 | 128)
        rest >>= 7
    length.append(rest)
    return bytes(length) + value
