"""Frames of HTTP/2 (RFC 9113) and messages of gRPC in them, as no client should send them."""

import asyncio
import contextlib
from collections.abc import Sequence
from random import Random

from tests.fuzz.mutation import mutate

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, END_HEADERS = 1, 4
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_PATH = "/quietus.ingest.v1.IngestService/StreamPredictions"
# How long an answer is read before the connection is dropped.
_LISTEN_SECONDS = 0.05


def frame(kind: int, flags: int, stream: int, payload: bytes, length: int | None = None) -> bytes:
    """`length` may lie."""
    size = len(payload) if length is None else length
    return (size % (1 << 24)).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def grpc_message(message: bytes, compressed: int = 0, length: int | None = None) -> bytes:
    size = len(message) if length is None else length
    return bytes((compressed,)) + size.to_bytes(4, "big") + message


def headers(token: str, encoding: str = "identity") -> bytes:
    """HPACK, literally and without an index (RFC 7541, 6.2.2)."""
    fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", _PATH),
        (":authority", "localhost"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        ("grpc-encoding", encoding),
        ("authorization", token),
    ]
    return b"".join(b"\0" + _text(name) + _text(value) for name, value in fields)


def _text(value: str) -> bytes:
    data = value.encode()
    if len(data) < 127:
        return bytes((len(data),)) + data
    rest = bytearray()
    left = len(data) - 127
    while left >= 128:
        rest.append(left % 128 + 128)
        left //= 128
    return bytes((127, *rest, left)) + data


def connection(token: str, messages: Sequence[bytes], random: Random) -> bytes:
    """Everything that one client sends. What it begins with is right, so that the rest is read."""
    encoding = random.choice(("identity", "identity", "gzip", "deflate", "nonsense"))
    opening = _PREFACE + frame(SETTINGS, 0, 0, b"") + frame(HEADERS, END_HEADERS, 1, headers(token, encoding))
    parts = [opening, frame(DATA, 0, 1, grpc_message(messages[0]))]
    for message in messages[1:]:
        parts.append(_odd(message, random))
    if random.random() < 0.3:
        parts.append(frame(DATA, END_STREAM, 1, b""))
    data = b"".join(parts)
    if random.random() < 0.3:
        data = opening + mutate(data[len(opening) :], random)
    if random.random() < 0.2:
        data = data[: random.randrange(len(_PREFACE), len(data) + 1)]
    return data


def _odd(message: bytes, random: Random) -> bytes:
    number = random.choice((0, 1, 1, 1, 2, 3, 2**31 - 1))
    data = frame(DATA, 0, 1, grpc_message(message))
    return random.choice(
        (
            data,
            frame(DATA, 0, 1, grpc_message(message, length=random.choice((0, 1, len(message) + 7, 2**31, 2**32 - 1)))),
            frame(DATA, 0, 1, grpc_message(message, compressed=random.choice((1, 2, 255)))),
            frame(DATA, random.randrange(256), number, grpc_message(message)),
            frame(DATA, 0, 1, grpc_message(message), length=random.choice((0, 3, 16_385, 2**24 - 1))),
            frame(DATA, 0, 1, grpc_message(message)[: random.randrange(5)]) + frame(RST_STREAM, 0, 1, bytes(4)),
            frame(RST_STREAM, 0, number, random.randbytes(random.choice((3, 4, 4, 5)))) + data,
            frame(GOAWAY, 0, 0, bytes(8)) + data,
            frame(WINDOW_UPDATE, 0, number, random.choice((bytes(4), b"\x7f\xff\xff\xff", b"\0"))) + data,
            frame(SETTINGS, 0, 0, b"\0\4" + random.choice((bytes(4), b"\xff" * 4))) + data,
            frame(SETTINGS, random.randrange(2), number, random.randbytes(random.choice((0, 5, 6)))) + data,
            frame(PING, random.randrange(2), 0, bytes(8)) * random.choice((1, 3)) + data,
            frame(CONTINUATION, END_HEADERS, number, random.randbytes(9)) + data,
            frame(HEADERS, random.randrange(256), number, random.randbytes(random.choice((1, 30)))) + data,
            frame(PUSH, 0, 1, bytes(4)) + data,
            frame(random.randrange(256), random.randrange(256), number, random.randbytes(random.randrange(40))) + data,
        )
    )


async def send(port: int, data: bytes) -> None:
    """Whatever the server thinks of it, and in as many pieces as the network likes."""
    with contextlib.suppress(OSError):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(data)
            await writer.drain()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LISTEN_SECONDS):
                    while await reader.read(65_536):
                        pass
        finally:
            writer.close()
