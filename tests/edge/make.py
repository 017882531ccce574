"""Predictions, keys and clients for tests of the edge."""

import asyncio
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from quietus.ingest.v1.predictions_pb2 import Prediction
from quietus_edge import Audio, Chunk, EdgeClient, Limits, Text, TextCues, Vision, messages
from tests.edge.fake_suite import API_KEY, FakeSuite

# Longer than anything here takes: a bound on a hanging test, not a measurement.
PATIENCE_SECONDS = 60.0
NOW = datetime(2025, 3, 1, 12, tzinfo=UTC)
FAST = Limits(
    first_retry_seconds=0.01,
    longest_retry_seconds=0.05,
    problem_pause_seconds=30,
    stream_idle_seconds=5,
    stream_close_seconds=5,
    key_retry_seconds=0.05,
)


def chunk(seconds: float = 0) -> Chunk:
    start = NOW + timedelta(seconds=seconds)
    return Chunk.between(start, start + timedelta(seconds=5))


def vision(**changes: Any) -> Vision:
    return Vision(**{"emotion": "sad", "confidence": 0.8, "distress_score": 0.3, "model_version": "face-1"} | changes)


def audio(**changes: Any) -> Audio:
    return Audio(**{"emotion": "sad", "confidence": 0.7, "stress_score": 0.2, "model_version": "voice-1"} | changes)


def text(**changes: Any) -> Text:
    base = {"risk_level": "low", "distress_probability": 0.1, "confidence": 0.9, "model_version": "text-1"}
    return Text(**base | changes)


def danger() -> Text:
    return text(risk_level="critical", cues=TextCues(crisis_signals=("active_ideation",)))


def record(seconds: float = 0, **modalities: Any) -> tuple[list[Prediction], datetime]:
    """The predictions of one chunk and the end of its window."""
    at = chunk(seconds)
    given = {"vision": vision(), "audio": None, "text": None} | modalities
    return messages.predictions(at, given["vision"], given["audio"], given["text"], None), at.end


def client(suite: FakeSuite, spool: Path, **changes: Any) -> EdgeClient:
    settings: dict[str, Any] = {
        "identity_address": suite.address,
        "api_key": API_KEY,
        "spool": spool,
        "limits": FAST,
    }
    return EdgeClient(suite.address, **settings | changes)


def next_report() -> "tuple[Any, asyncio.Queue[Any]]":
    """A callback, and the queue that it fills."""
    queue: asyncio.Queue[Any] = asyncio.Queue()
    return queue.put_nowait, queue


async def becomes_unreachable(edge: EdgeClient) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while edge.status().state != "unreachable":  # noqa: ASYNC110 - a status tells nobody
            await asyncio.sleep(0.01)


def environment() -> dict[str, str]:
    """For subprocesses, whatever this one was started with for the edge itself."""
    return {name: value for name, value in os.environ.items() if not name.startswith("QUIETUS_EDGE_")}
