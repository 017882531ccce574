"""What was said is in no table, no file and no log, whichever way it came."""

import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import asyncpg
import grpc
import pytest
import pytest_asyncio

from deploy.demo.people import CALL_SECONDS, Person, edge_client, make_person
from deploy.demo.suite import Suite as Client
from deploy.demo.suite import connected
from libs.common.rpc.client import bearer
from libs.common.rpc.errors import reason_of
from libs.common.timestamps import to_timestamp
from quietus.common.v1.types_pb2 import MODALITY_TEXT, RISK_LEVEL_LOW
from quietus.identity.v1 import identity_pb2
from quietus.identity.v1.identity_pb2_grpc import TokenServiceStub
from quietus.ingest.v1 import ingest_pb2
from quietus.ingest.v1.ingest_pb2_grpc import IngestServiceStub
from quietus.ingest.v1.predictions_pb2 import (
    CRISIS_SIGNAL_ACTIVE_IDEATION,
    TRANSCRIPT_STATE_SEALED,
    Prediction,
    PredictionBatch,
    TextPrediction,
)
from quietus_edge import Text
from quietus_edge.ids import uuid7
from tests.e2e.marker import checkpoint, files_with, spellings, tables_with
from tests.e2e.snapshot import Snapshot
from tests.e2e.suite import Suite

pytestmark = pytest.mark.asyncio(loop_scope="session")

ALLOWED = {"QUIETUS_INGEST_ALLOW_PLAINTEXT": "true", "QUIETUS_LOG_LEVEL": "debug"}


@dataclass(frozen=True)
class Thin:
    """A client without the SDK."""

    stub: IngestServiceStub
    metadata: tuple[tuple[str, str], ...]
    session_id: str

    async def record(self, number: int, *predictions: Prediction) -> ingest_pb2.BatchOutcome:
        request = ingest_pb2.RecordPredictionsRequest(
            session_id=self.session_id, batch=PredictionBatch(batch_number=number, predictions=predictions)
        )
        response = await self.stub.RecordPredictions(request, metadata=self.metadata, timeout=CALL_SECONDS)
        return response.outcome

    async def stored(self, session_id: str) -> list[TextPrediction]:
        request = ingest_pb2.ListPredictionsRequest(session_id=session_id, modality=MODALITY_TEXT)
        response = await self.stub.ListPredictions(request, metadata=self.metadata, timeout=CALL_SECONDS)
        return [one.prediction.text for one in response.predictions]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def thin_suite(snapshot: Snapshot) -> AsyncIterator[Suite]:
    """Takes plain words, and logs all that it can."""
    async with snapshot.running("thin", settings=ALLOWED) as suite:
        yield suite


def said(words: str, **fields: float) -> Prediction:
    now = to_timestamp(datetime.now(UTC))
    text = TextPrediction(risk_level=RISK_LEVEL_LOW, model_version="thin-1", plaintext_transcript=words)
    text.MergeFrom(TextPrediction(**fields))  # type: ignore[arg-type]
    return Prediction(chunk_id=str(uuid7()), capture_start_time=now, capture_end_time=now, text=text)


async def thin_client(client: Client, person: Person) -> Thin:
    exchange = identity_pb2.ExchangeApiKeyRequest(api_key=person.api_key)
    token = (await TokenServiceStub(client.channels["identity"]).ExchangeApiKey(exchange, timeout=CALL_SECONDS)).token
    metadata, stub = bearer(token.access_token), IngestServiceStub(client.channels["ingest"])
    start = ingest_pb2.StartSessionRequest(session_id=str(uuid7()), start_time=to_timestamp(datetime.now(UTC)))
    await stub.StartSession(start, metadata=metadata, timeout=CALL_SECONDS)
    return Thin(stub, metadata, start.session_id)


async def speak_by_the_sdk(client: Client, person: Person, spool: Path, words: str) -> str:
    async with edge_client(client, person, spool) as edge:
        async with edge.session() as session:
            text = Text(
                risk_level="low", distress_probability=0.1, confidence=0.9, model_version="sdk-1", transcript=words
            )
            await session.record(text=text)
        await edge.flush(CALL_SECONDS)
    return str(session.session_id)


async def ended(call: grpc.aio.StreamStreamCall) -> grpc.aio.AioRpcError:
    """Reads on until the stream ends."""
    try:
        async for _ in call:
            pass
    except grpc.aio.AioRpcError as error:
        return error
    raise AssertionError("the stream ended with OK")


async def speak_without(thin: Thin, words: str) -> None:
    """Well, badly, and as nothing that can be read."""
    assert (await thin.record(1, said(words))).accepted == 1
    outcome = await thin.record(2, said(words, confidence=2.0), said(words, distress_probability=-1.0))
    assert len(outcome.refusals) == 2
    call = thin.stub.StreamPredictions(metadata=thin.metadata, timeout=CALL_SECONDS)
    opening = ingest_pb2.StreamPredictionsRequest(open=ingest_pb2.OpenStream(session_id=thin.session_id))
    await call.write(opening)
    batch = PredictionBatch(batch_number=0, predictions=[said(words)])
    await call.write(ingest_pb2.StreamPredictionsRequest(batch=batch))
    error = await ended(call)
    assert reason_of(error) == "BATCH_NUMBER_NOT_GROWING"
    told = f"{outcome}{error.details()}{error.trailing_metadata()}"
    assert not any(spelling.decode("latin-1") in told for spelling in spellings(words.split(maxsplit=1)[0]))


async def test_words_are_nowhere_and_their_cues_are_there(
    snapshot: Snapshot, thin_suite: Suite, tmp_path: Path
) -> None:
    marker = f"walrus{secrets.token_hex(8)}"
    words = f"{marker} I want to die {marker}"
    device = tmp_path / "device"
    device.mkdir()
    async with connected(thin_suite.plan) as client:
        person = await make_person(client, "somebody", snapshot.counselor)
        session_id = await speak_by_the_sdk(client, person, device / "spool", words)
        thin = await thin_client(client, person)
        await speak_without(thin, words)
        stored = [*await thin.stored(session_id), *await thin.stored(thin.session_id)]
    assert [text.transcript_state for text in stored] == [TRANSCRIPT_STATE_SEALED] * 2
    assert all(CRISIS_SIGNAL_ACTIVE_IDEATION in text.cues.crisis_signals for text in stored)
    await thin_suite.settled()
    await checkpoint(thin_suite.dsn)
    assert await tables_with(thin_suite.dsn, marker) == []
    assert files_with(thin_suite.plan.state_dir, marker) == []
    assert files_with(device, marker) == []


async def test_a_marker_that_is_there_is_found(thin_suite: Suite) -> None:
    """In text, in bytes that are compressed, in a log, and in the write-ahead log of a table that is gone."""
    marker, gone = f"walrus{secrets.token_hex(8)}", f"walrus{secrets.token_hex(8)}"
    connection = await asyncpg.connect(thin_suite.dsn)
    try:
        await connection.execute("CREATE TABLE public.planted (id uuid, words text, bytes bytea, more jsonb)")
        row = (uuid4(), None, b"x" * 5000 + marker.encode() + b"x" * 5000, None)
        await connection.execute("INSERT INTO public.planted VALUES ($1, $2, $3, $4)", *row)
        assert await tables_with(thin_suite.dsn, marker) == ["public.planted"]
        await connection.execute("UPDATE public.planted SET bytes = NULL, words = $1", f"said {marker}")
        assert await tables_with(thin_suite.dsn, marker) == ["public.planted"]
        await connection.execute("UPDATE public.planted SET words = $1", gone)
        await connection.execute("DROP TABLE public.planted")
    finally:
        await connection.close()
    await checkpoint(thin_suite.dsn)
    log = thin_suite.plan.logs_dir / "planted.log"
    log.write_bytes(b"call refused " + spellings(marker)[-1])
    try:
        found = files_with(thin_suite.plan.state_dir, marker)
    finally:
        log.unlink()
    assert "logs/planted.log" in found
    assert any("pg_wal" in name for name in files_with(thin_suite.plan.state_dir, gone))
