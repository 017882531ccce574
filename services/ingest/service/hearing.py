"""Looks for cues in plain words beside the event loop, before their batch stands in line.

One thread reads one text at a time, so that streams take turns, and whoever sends words pays for them by their length.
"""

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from quietus.ingest.v1.predictions_pb2 import PredictionBatch
from quietus_edge.cues import Extraction, extract
from services.ingest.content.modalities import PLAINTEXT_MAX_BYTES
from services.ingest.service.batches import PREDICTIONS_MAX, now
from services.ingest.service.devices import Device

# To look for cues in so many bytes costs as much as a prediction.
BYTES_PER_PREDICTION = 16


class Hearing:
    def __init__(self) -> None:
        self._reader = ThreadPoolExecutor(1, "cues")

    async def listen(self, batch: PredictionBatch, device: Device) -> Mapping[int, Extraction]:
        """What each prediction's words say, by its index. What is too long or too many is left to be refused."""
        texts = _texts(batch) if len(batch.predictions) <= PREDICTIONS_MAX else {}
        if texts:
            device.spend(sum(1 + len(words) // BYTES_PER_PREDICTION for words in texts.values()), now())
        loop = asyncio.get_running_loop()
        return {
            index: await loop.run_in_executor(self._reader, extract, words.decode()) for index, words in texts.items()
        }


def _texts(batch: PredictionBatch) -> Mapping[int, bytes]:
    return {
        index: words
        for index, prediction in enumerate(batch.predictions)
        if 0 < len(words := prediction.text.plaintext_transcript.encode()) <= PLAINTEXT_MAX_BYTES
    }
