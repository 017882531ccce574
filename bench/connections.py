"""`python -m bench connections`: thousands of devices, each with a connection and a stream, on one ingest."""

import argparse
import asyncio
import json
import resource
import sys
import time

import psutil

from bench.load.http2 import GrpcStream
from bench.load.messages import Messages
from bench.load.streams import PATH
from bench.pipeline.suite import bench_suite
from bench.report import machine
from deploy.local.plan import HOST
from deploy.local.supervisor import StartError
from quietus.ingest.v1.ingest_pb2 import OpenStream, StreamPredictionsRequest, StreamPredictionsResponse

OPENING_AT_ONCE = 100
ANSWER_SECONDS = 120


class Device:
    """Opens its stream, sends one batch, and stays."""

    def __init__(self, port: int, session_id: str, token: str) -> None:
        self._port = port
        self._opening = StreamPredictionsRequest(open=OpenStream(session_id=session_id)).SerializeToString()
        loop = asyncio.get_running_loop()
        self._opened: asyncio.Future[None] = loop.create_future()
        self._acknowledged: asyncio.Future[None] = loop.create_future()
        self.stream = GrpcStream(PATH, f"{HOST}:{port}", {"authorization": f"Bearer {token}"}, self._take)

    async def open(self, turn: asyncio.Semaphore) -> None:
        async with turn, asyncio.timeout(ANSWER_SECONDS):
            await asyncio.get_running_loop().create_connection(lambda: self.stream, HOST, self._port)
            self.stream.send(self._opening)
            await self._opened

    async def send(self, messages: Messages) -> None:
        self.stream.send(messages.next()[1])
        async with asyncio.timeout(ANSWER_SECONDS):
            await self._acknowledged

    def _take(self, message: bytes) -> None:
        response = StreamPredictionsResponse.FromString(message)
        told = self._opened if response.HasField("opened") else self._acknowledged
        if not told.done():
            told.set_result(None)


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser("connections", help="thousands of connections at once", description=__doc__)
    parser.add_argument("--connections", type=int, default=5000, help="default: %(default)d")
    parser.add_argument("--json", action="store_true", help="the last line is one JSON object")
    parser.set_defaults(run=command)


def command(arguments: argparse.Namespace) -> int:
    # Services inherit it: a connection is a file to both sides.
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        figures = asyncio.run(run(arguments.connections))
    except (StartError, RuntimeError, TimeoutError) as error:
        print(f"bench: {error or 'no answer in time'}", file=sys.stderr)
        return 1
    for name, value in figures.items():
        print(f"{name:32}{value:>12,.2f}")
    if arguments.json:
        print(json.dumps({"bench": "connections", "figures": figures, "machine": machine()}))
    return 0


async def run(connections: int) -> dict[str, float]:
    async with bench_suite() as suite:
        [person] = await suite.start_sessions(await suite.make_people(1))
        plan = suite.supervisor.plan
        process = psutil.Process(int((plan.run_dir / "ingest.pid").read_text()))
        before_mb = process.memory_info().rss / 1e6
        devices = [Device(plan.ports["ingest"], person.session_id, person.token) for _ in range(connections)]
        messages = Messages(batch_size=3)
        turn = asyncio.Semaphore(OPENING_AT_ONCE)
        start = time.perf_counter()
        await asyncio.gather(*(device.open(turn) for device in devices))
        opened = time.perf_counter()
        await asyncio.gather(*(device.send(messages) for device in devices))
        sent = time.perf_counter()
        if ended := sum(device.stream.ended.done() for device in devices):
            raise RuntimeError(f"{ended} streams ended")
        figures = {
            "connections": float(connections),
            "open_seconds": opened - start,
            "acknowledge_seconds": sent - opened,
            "rss_mb_before": before_mb,
            "rss_mb": process.memory_info().rss / 1e6,
        }
        for device in devices:
            device.stream.close()
        return figures
