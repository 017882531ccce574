"""An OpenAI-compatible endpoint on loopback that does as it is told, and what it is asked about."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import orjson

DRIP_SECONDS = 0.01
_NOUNS = {"FACE": "face", "VOICE": "voice", "TEXT": "words"}

Content = Mapping[str, Any]  # what a language model is to answer with


@dataclass(frozen=True)
class Reply:
    body: bytes
    status: int = 200
    headers: str = ""
    drips: bool = False  # a byte at a time


@dataclass(frozen=True)
class Asked:
    path: str
    headers: Mapping[str, str]
    body: Mapping[str, Any]

    @property
    def facts(self) -> list[dict[str, Any]]:
        facts: list[dict[str, Any]] = orjson.loads(self.body["messages"][1]["content"])["facts"]
        return facts


class Endpoint:
    """`reply` of None means that it takes the question and says nothing more."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[Asked] = []
        self.reply: Callable[[Asked], Reply | None] = honest

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._answer(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # whoever asked has gone
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        sent = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines if line)}
        body = await reader.readexactly(int(sent["content-length"]))
        asked = Asked(first.split()[1], sent, orjson.loads(body))
        self.asked.append(asked)
        reply = self.reply(asked)
        if reply is None:
            await reader.read()  # until the other side closes
            return
        headers = f"content-length: {len(reply.body)}\r\nconnection: close\r\n{reply.headers}"
        writer.write(f"HTTP/1.1 {reply.status} x\r\n{headers}\r\n".encode())
        for part in [bytes([one]) for one in reply.body] if reply.drips else [reply.body]:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(DRIP_SECONDS if reply.drips else 0)


@asynccontextmanager
async def running_endpoint() -> AsyncIterator[Endpoint]:
    endpoint = Endpoint()
    async with await asyncio.start_server(endpoint.serve, "127.0.0.1", 0) as server:
        endpoint.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        yield endpoint


def completion(content: str) -> Reply:
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": content}}
    return Reply(orjson.dumps({"id": "1", "object": "chat.completion", "choices": [choice], "usage": {}}))


def answering(content: Content) -> Callable[[Asked], Reply]:
    return lambda _: completion(orjson.dumps(content).decode())


def honest(asked: Asked) -> Reply:
    sentences = [{"text": sentence_of(fact), "facts": [fact["code"]]} for fact in asked.facts]
    return completion(orjson.dumps({"sentences": sentences}).decode())


def sentence_of(fact: Mapping[str, Any]) -> str:
    origin, _, side = fact["code"].partition("_")
    if origin == "EARLIER":
        return "Earlier moments of the session showed distress."
    noun = _NOUNS[origin]
    shows = "show" if noun == "words" else "shows"
    return f"The {noun} {shows} {fact['strength']} {'distress' if side == 'DISTRESS' else 'calmness'}."
