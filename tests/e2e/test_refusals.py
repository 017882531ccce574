"""What ingest refuses over the wire, and that nothing of it is stored."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime

import asyncpg
import grpc
import pytest

from deploy.demo.people import CALL_SECONDS, Person, make_person
from deploy.demo.suite import Suite as Client
from libs.common.rpc.client import Metadata
from libs.common.timestamps import to_timestamp
from quietus.ingest.v1.ingest_pb2 import (
    EndSessionRequest,
    OpenStream,
    RecordPredictionsRequest,
    StartSessionRequest,
    StreamPredictionsRequest,
)
from quietus.ingest.v1.ingest_pb2_grpc import IngestServiceStub
from quietus_edge.errors import reason_of
from quietus_edge.retry import is_unreachable
from tests.e2e.rows import read_rows
from tests.e2e.scenario import PlannedSession, planned
from tests.e2e.snapshot import Snapshot
from tests.e2e.suite import Suite

pytestmark = pytest.mark.asyncio(loop_scope="session")

TABLES = ("ingest.vision_predictions", "ingest.audio_predictions", "ingest.text_predictions")


def new_session() -> PlannedSession:
    return planned("calm", datetime.now(UTC))[-1]


async def started(client: Client, person: Person, session: PlannedSession) -> None:
    request = StartSessionRequest(session_id=str(session.session_id), start_time=to_timestamp(session.start))
    await IngestServiceStub(client.channels["ingest"]).StartSession(
        request, metadata=person.token, timeout=CALL_SECONDS
    )


async def refusals(client: Client, session: PlannedSession, token: Metadata) -> set[tuple[grpc.StatusCode, str]]:
    """What the stream and the single call answer to a batch of the session."""
    ingest = IngestServiceStub(client.channels["ingest"])
    batch = session.batches[0]

    async def requests() -> AsyncIterator[StreamPredictionsRequest]:
        yield StreamPredictionsRequest(open=OpenStream(session_id=str(session.session_id)))
        yield StreamPredictionsRequest(batch=batch)

    async def stream() -> None:
        async for _ in ingest.StreamPredictions(requests(), metadata=token, timeout=CALL_SECONDS):
            pass

    async def single() -> None:
        request = RecordPredictionsRequest(session_id=str(session.session_id), batch=batch)
        await ingest.RecordPredictions(request, metadata=token, timeout=CALL_SECONDS)

    return {await refusal(call) for call in (stream, single)}


async def refusal(call: Callable[[], Awaitable[None]]) -> tuple[grpc.StatusCode, str]:
    """A stream that ends while a message is written to it may leave the client without the server's word: once more."""
    while True:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await call()
        if not is_unreachable(raised.value):
            return raised.value.code(), reason_of(raised.value)


async def stored(suite: Suite, *people: Person) -> int:
    rows = await read_rows(suite.dsn, [person.anonymous_id for person in people])
    return sum(len(rows[table]) for table in TABLES)


async def test_another_persons_token_reveals_nothing_and_stores_nothing(
    snapshot: Snapshot, suite: Suite, client: Client
) -> None:
    session = new_session()
    owner = await make_person(client, "owner", snapshot.counselor)
    stranger = await make_person(client, "stranger", snapshot.counselor)
    unknown = await refusals(client, session, stranger.token)
    await started(client, owner, session)
    assert await refusals(client, session, stranger.token) == unknown
    assert unknown == {(grpc.StatusCode.NOT_FOUND, "SESSION_NOT_FOUND")}
    assert await refusals(client, session, ()) == {(grpc.StatusCode.UNAUTHENTICATED, "TOKEN_MISSING")}
    assert await stored(suite, owner, stranger) == 0


async def _long_ago(dsn: str, session: PlannedSession) -> None:
    """Its end was received before everything that is still taken late."""
    connection = await asyncpg.connect(dsn)
    try:
        statement = "UPDATE ingest.sessions SET end_receive_time = end_receive_time - interval '8 days' WHERE id = $1"
        await connection.execute(statement, session.session_id)
    finally:
        await connection.close()


async def test_a_session_of_long_ago_takes_nothing_more(snapshot: Snapshot, suite: Suite, client: Client) -> None:
    session = new_session()
    owner = await make_person(client, "owner", snapshot.counselor)
    await started(client, owner, session)
    await IngestServiceStub(client.channels["ingest"]).EndSession(
        EndSessionRequest(session_id=str(session.session_id), end_time=to_timestamp(session.end)),
        metadata=owner.token,
        timeout=CALL_SECONDS,
    )
    await _long_ago(suite.dsn, session)
    ended = {(grpc.StatusCode.FAILED_PRECONDITION, "SESSION_ENDED")}
    assert await refusals(client, session, owner.token) == ended
    assert await stored(suite, owner) == 0
