"""The load generator for the HTTP reference: `python -m bench.load.posts` with a Plan as JSON on stdin.

Each session has a connection that is kept alive, with one POST at a time on it: HTTP/1.1 has no other way. Paced: a
POST that has to wait for its connection is measured from when it should have left. Prints one JSON object.
"""

import asyncio
import json
import sys
from base64 import b64encode
from collections import deque
from typing import Any, cast

import uvloop

from bench.load.messages import VARIANTS, Messages, parsed
from bench.load.plan import Plan
from bench.load.recorder import Recorder
from bench.load.streams import pace
from libs.common.timestamps import to_datetime
from quietus.ingest.v1.predictions_pb2 import Prediction
from quietus_edge.ids import uuid7
from services.ingest.vocabulary import EMOTIONS, FEATURES, RISK_LEVELS, TRANSCRIPT_STATES


def content_of(prediction: Prediction) -> dict[str, Any]:
    """As the reference's models want it."""
    kind = prediction.WhichOneof("modality")
    assert kind is not None
    said: Any = getattr(prediction, kind)
    content = {"kind": kind, "model_version": said.model_version, "confidence": said.confidence}
    if kind == "text":
        cues = said.cues
        return content | {
            "risk_level": RISK_LEVELS[said.risk_level],
            "distress_probability": said.distress_probability,
            "valence": said.valence,
            "cues": {"language": cues.language, "topics": list(cues.topics), "first_person": cues.first_person},
            "transcript": b64encode(said.sealed_transcript).decode(),
            "transcript_state": TRANSCRIPT_STATES[said.transcript_state],
        }
    content["emotion"] = EMOTIONS[said.emotion]
    content["distribution_labels"] = list(said.distribution.labels)
    content["distribution_probabilities"] = list(said.distribution.probabilities)
    if kind == "vision":
        return content | {"distress_score": said.distress_score, "frames_processed": said.frames_processed}
    return content | {"stress_score": said.stress_score} | {name: getattr(said.features, name) for name in FEATURES}


class Bodies:
    """The predictions of bench.load.messages as JSON."""

    def __init__(self, batch_size: int, seed: int) -> None:
        self._batch_size = batch_size
        self._next_prediction = 0
        self._next_number = 1
        self._chunk_prefix = str(uuid7())[:24]
        messages = Messages(1, seed=seed)
        predictions = [parsed(messages.next()[1]).predictions[0] for _ in range(3 * VARIANTS)]
        self._rest = [
            json.dumps(
                {
                    "capture_start_time": to_datetime(prediction.capture_start_time).isoformat(),
                    "capture_end_time": to_datetime(prediction.capture_end_time).isoformat(),
                    "content": content_of(prediction),
                }
            )[1:]
            for prediction in predictions
        ]

    def next(self) -> bytes:
        first, self._next_prediction = self._next_prediction, self._next_prediction + self._batch_size
        number, self._next_number = self._next_number, self._next_number + 1
        predictions = [
            f'{{"chunk_id":"{self._chunk_prefix}{position // 3:012x}",{self._rest[position % len(self._rest)]}'
            for position in range(first, self._next_prediction)
        ]
        return f'{{"batch_number":{number},"predictions":[{",".join(predictions)}]}}'.encode()


class Poster(asyncio.Protocol):
    """One connection."""

    def __init__(self, plan: Plan, session_id: str, seed: int, recorder: Recorder) -> None:
        self._plan = plan
        self._recorder = recorder
        self._bodies = Bodies(plan.batch_size, seed)
        self._head = (
            f"POST /sessions/{session_id}/predictions HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n"
        )
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[float] = deque()
        self._sent: float | None = None
        self._received = b""
        self._transport: asyncio.WriteTransport | None = None
        self.failed = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)

    def connection_lost(self, error: Exception | None) -> None:
        self.failed = self.failed or "connection lost"

    def send(self, due: float) -> None:
        self._waiting.append(due)
        self._send_next()

    def close(self) -> None:
        if self._transport:
            self._transport.close()

    def _send_next(self) -> None:
        if self._sent is None and self._waiting and self._transport:
            self._sent = self._waiting.popleft()
            body = self._bodies.next()
            self._transport.write(f"{self._head}content-length: {len(body)}\r\n\r\n".encode() + body)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, separator, body = self._received.partition(b"\r\n\r\n")
        if not separator or len(body) < _content_length(head):
            return
        self._received = b""
        if not head.startswith(b"HTTP/1.1 201"):
            self.failed = head.split(b"\r\n")[0].decode()
        now = self._loop.time()
        assert self._sent is not None
        self._recorder.acknowledged(now, now - self._sent, self._plan.batch_size)
        self._sent = None
        if not self._plan.predictions_per_second and not self._recorder.over:
            self._waiting.append(now)
        self._send_next()


def _content_length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    return 0


async def run(plan: Plan) -> dict[str, float]:
    loop = asyncio.get_running_loop()
    recorder = Recorder(plan.warm_up_seconds, plan.seconds)
    posters = [Poster(plan, session_id, seed, recorder) for seed, (session_id, _) in enumerate(plan.sessions)]
    for poster in posters:
        await loop.create_connection(lambda poster=poster: poster, plan.host, plan.port)  # type: ignore[misc]
    recorder.start(loop.time())
    recorded = asyncio.create_task(recorder.wait())
    if plan.predictions_per_second:
        await pace(plan, posters, recorder)
    else:
        for poster in posters:
            poster.send(loop.time())
    await recorded
    if failed := [poster.failed for poster in posters if poster.failed]:
        raise RuntimeError(f"{len(failed)} connections failed: {failed[0]}")
    for poster in posters:
        poster.close()
    return recorder.result()


if __name__ == "__main__":
    print(json.dumps(uvloop.run(run(Plan(**json.loads(sys.stdin.read()))))))
