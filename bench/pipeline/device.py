"""A device with an open stream, and when each of its batches was sent, acknowledged and fused."""

import asyncio

from bench.load.http2 import GrpcStream
from bench.pipeline.messages import FIRST_NUMBER, Batches
from quietus.ingest.v1.ingest_pb2 import OpenStream, StreamPredictionsRequest, StreamPredictionsResponse

PATH = "/quietus.ingest.v1.IngestService/StreamPredictions"


class Device:
    """One session. Times are those of the event loop, in seconds; batches count from 0."""

    def __init__(self, session_id: str, token: str, address: str, seed: int) -> None:
        self.session_id = session_id
        self.sent: list[float] = []
        self.acknowledged: list[float] = []
        self.fused: list[float] = []
        self._acknowledgement_came = asyncio.Event()
        self._batches = Batches(session_id, seed)
        self._address = address
        self._loop = asyncio.get_running_loop()
        self._opened = asyncio.Event()
        self._stream = GrpcStream(PATH, address, {"authorization": f"Bearer {token}"}, self._take)
        self._stream.ended.add_done_callback(lambda _: self._acknowledgement_came.set())

    async def open(self) -> None:
        host, port = self._address.split(":")
        await self._loop.create_connection(lambda: self._stream, host, int(port))
        self._stream.send(StreamPredictionsRequest(open=OpenStream(session_id=self.session_id)).SerializeToString())
        await self._opened.wait()

    def send(self, due: float, *, critical: bool = False) -> None:
        """`due`: when it should have left; it is measured from then."""
        self.sent.append(due)
        self._stream.send(self._batches.next(critical=critical))

    def fused_through(self, chunks: int, now: float) -> None:
        self.fused += [now] * (chunks - len(self.fused))

    async def acknowledgement(self) -> None:
        """Waits for the next one. RuntimeError when the server has ended the stream."""
        self._acknowledgement_came.clear()
        await self._acknowledgement_came.wait()
        if self._stream.ended.done():
            raise RuntimeError(f"a stream ended: {self._stream.ended.result()}")

    def close(self) -> None:
        self._stream.close()

    def _take(self, message: bytes) -> None:
        response = StreamPredictionsResponse.FromString(message)
        if response.HasField("opened"):
            self._opened.set()
            return
        if response.acknowledgement.outcomes:
            raise RuntimeError(f"not accepted whole: {response.acknowledgement}")
        through = response.acknowledgement.through_batch_number - FIRST_NUMBER + 1
        self.acknowledged += [self._loop.time()] * (through - len(self.acknowledged))
        self._acknowledgement_came.set()
