"""The bare reference: ingest's protocol over grpc.aio and one asyncpg group commit. No checks, no identity, no outbox.

It keeps what it is sent: same messages, same tables (schema `bare`: without foreign keys), same grouping, COPY.
Codecs hand numbers over in the binary form that costs asyncpg least; Decimal and datetime objects cost a third.
"""

import argparse
import asyncio
import gc
import signal
import struct
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import grpc
import orjson
import uvloop

from quietus.ingest.v1 import ingest_pb2, ingest_pb2_grpc
from services.ingest.vocabulary import CRISIS_SIGNALS, EMOTIONS, FEATURES, RISK_LEVELS, TRANSCRIPT_STATES

SCHEMA = "bare"
GROUP_PREDICTIONS = 5_000
GROUP_INTERVAL_SECONDS = 0.020
DIGEST = bytes(32)
COMMON = ["session_id", "user_id", "id", "chunk_id", "capture_start_time", "capture_end_time", "receive_time"]
COMMON += ["batch_number", "batch_index", "content_digest", "model_version"]
DISTRIBUTION = ["distribution_labels", "distribution_probabilities"]
COLUMNS = {
    "vision": [*COMMON, "emotion", "confidence", "distress_score", "frames_processed", *DISTRIBUTION],
    "audio": [*COMMON, "emotion", "stress_score", "confidence", *DISTRIBUTION, *FEATURES],
    "text": [*COMMON, "risk_level", "distress_probability", "confidence", "valence", "cues", "transcript"],
}
COLUMNS["text"].append("transcript_state")
POSTGRES_EPOCH_SECONDS = 946_684_800
NUMERIC = [struct.pack(">hhHHH", 1, 0 if k == 10_000 else -1, 0, 4, k % 10_000 or k // 10_000) for k in range(10_001)]


def score(value: float) -> bytes:
    return NUMERIC[round(value * 10_000)]


def moment(time: Any) -> tuple[int]:
    return ((time.seconds - POSTGRES_EPOCH_SECONDS) * 1_000_000 + time.nanos // 1000,)


def distribution(value: Any) -> tuple[Any, Any]:
    return value.labels[:], value.probabilities[:]


def vision(v: Any) -> tuple[Any, ...]:
    scores = score(v.confidence), score(v.distress_score)
    return (v.model_version, EMOTIONS[v.emotion], *scores, v.frames_processed, *distribution(v.distribution))


def audio(a: Any) -> tuple[Any, ...]:
    f = a.features
    features = (f.pitch_mean, f.pitch_std, f.pitch_range, f.energy_mean, f.energy_std, f.speech_rate, f.pause_ratio)
    scores = score(a.stress_score), score(a.confidence)
    return (a.model_version, EMOTIONS[a.emotion], *scores, *distribution(a.distribution), *features, f.prosody_variance)


def text(t: Any) -> tuple[Any, ...]:
    c = t.cues
    cues = {
        "extractor_version": c.extractor_version,
        "language": c.language,
        "code_switching": c.code_switching,
        "deflections": c.deflections[:],
        "topics": c.topics[:],
        "coping": c.coping[:],
        "first_person": c.first_person,
        "negation": c.negation,
        "absolutes": c.absolutes,
        "crisis_signals": [CRISIS_SIGNALS[n] for n in c.crisis_signals],
    }
    scores = score(t.distress_probability), score(t.confidence), score(t.valence)
    state = TRANSCRIPT_STATES[t.transcript_state]
    return (t.model_version, RISK_LEVELS[t.risk_level], *scores, orjson.dumps(cues), t.sealed_transcript, state)


READ = {"vision": vision, "audio": audio, "text": text}


class Bare(ingest_pb2_grpc.IngestServiceServicer):
    def __init__(self, connection: "asyncpg.Connection[Any]") -> None:
        self._connection = connection
        self._queue: list[tuple[Any, Any]] = []
        self._arrived = asyncio.Event()

    # Writes to its context, which the stub's type doesn't know.
    async def StreamPredictions(  # type: ignore[override]  # noqa: N802
        self, request_iterator: AsyncIterator[Any], context: Any
    ) -> None:
        state = [(await anext(request_iterator)).open.session_id, 0, asyncio.Event()]
        credit = ingest_pb2.Credit(max_batches=256, max_predictions=10_000)
        await context.write(ingest_pb2.StreamPredictionsResponse(opened=ingest_pb2.StreamOpened(credit=credit)))
        writer = asyncio.create_task(self._acknowledge(state, context, credit))
        try:
            async for request in request_iterator:
                self._queue.append((state, request.batch))
                self._arrived.set()
        finally:
            writer.cancel()

    async def _acknowledge(self, state: list[Any], context: Any, credit: Any) -> None:
        while True:
            await state[2].wait()
            state[2].clear()
            acknowledgement = ingest_pb2.Acknowledgement(through_batch_number=state[1], credit=credit)
            await context.write(ingest_pb2.StreamPredictionsResponse(acknowledgement=acknowledgement))

    async def commit_groups(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._queue:
                size = taken = 0
                while taken < len(self._queue) and size < GROUP_PREDICTIONS:
                    size += len(self._queue[taken][1].predictions)
                    taken += 1
                group, self._queue = self._queue[:taken], self._queue[taken:]
                start = asyncio.get_running_loop().time()
                await copy(self._connection, rows_of([(state[0], batch) for state, batch in group]))
                for state, batch in group:
                    state[1] = batch.batch_number
                    state[2].set()
                await asyncio.sleep(start + GROUP_INTERVAL_SECONDS - asyncio.get_running_loop().time())


Rows = dict[str, list[tuple[Any, ...]]]


def rows_of(group: list[tuple[str, Any]]) -> Rows:
    """Session ids and batches as records, by modality."""
    rows: Rows = {modality: [] for modality in COLUMNS}
    received = (1_000_000_000,)
    for session_id, batch in group:
        number = batch.batch_number
        for index, p in enumerate(batch.predictions):
            modality, chunk_id = p.WhichOneof("modality"), p.chunk_id
            times = moment(p.capture_start_time), moment(p.capture_end_time)
            common = (session_id, session_id, chunk_id, chunk_id, *times, received, number, index, DIGEST)
            rows[modality].append(common + READ[modality](getattr(p, modality)))
    return rows


async def copy(connection: "asyncpg.Connection[Any]", rows: Rows, schema: str = SCHEMA) -> None:
    async with connection.transaction():
        for modality, records in rows.items():
            if records:
                await connection.copy_records_to_table(
                    f"{modality}_predictions", schema_name=schema, columns=COLUMNS[modality], records=records
                )


async def connect(dsn: str) -> "asyncpg.Connection[Any]":
    connection: asyncpg.Connection[Any] = await asyncpg.connect(dsn)
    codecs: dict[str, tuple[Any, str]] = {
        "numeric": (bytes, "binary"),
        "jsonb": (b"\x01".__add__, "binary"),
        "timestamptz": (tuple, "tuple"),
    }
    for name, (encoder, form) in codecs.items():
        await connection.set_type_codec(name, schema="pg_catalog", encoder=encoder, decoder=bytes, format=form)
    return connection


async def main(dsn: str) -> None:
    gc.set_threshold(100_000, 50, 100)  # as ingest does
    bare = Bare(await connect(dsn))  # type: ignore[abstract]  # the rest of the contract is not measured
    server = grpc.aio.server(options=(("grpc.max_receive_message_length", 16 * 1024 * 1024),))
    ingest_pb2_grpc.add_IngestServiceServicer_to_server(bare, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    committing = asyncio.create_task(bare.commit_groups())
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await asyncio.wait((committing, asyncio.create_task(stop.wait())), return_when=asyncio.FIRST_COMPLETED)
    await server.stop(None)
    if committing.done():
        committing.result()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("dsn")
    uvloop.run(main(parser.parse_args().dsn))
