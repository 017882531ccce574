"""What is past retention goes, month by month, while streams go on."""

from datetime import timedelta
from uuid import UUID

import grpc
import pytest

from libs.common.db.partition_keeper import PartitionKeeper
from libs.common.observability.metrics import Metrics
from libs.common.rpc.errors import AppError, reason_of
from quietus.ingest.v1 import ingest_pb2
from quietus_edge.ids import uuid7
from services.ingest.store import sessions
from services.ingest.store.predictions import TABLES
from tests.ingest import make
from tests.ingest.suite import Person, Suite

RETENTION_DAYS = 90
LONG_DAYS = 300
COPY_SESSION = """
INSERT INTO sessions SELECT (jsonb_populate_record(s, jsonb_build_object('id', CAST(:old AS text)))).*
FROM sessions s WHERE id = :session_id
"""
COPY_PREDICTIONS = """
INSERT INTO {table} SELECT (jsonb_populate_record(p, jsonb_build_object('session_id', CAST(:old AS text)))).*
FROM {table} p WHERE session_id = :session_id
"""


def keeper(suite: Suite, retention_days: int = RETENTION_DAYS, metrics: Metrics | None = None) -> PartitionKeeper:
    return PartitionKeeper(suite.database, metrics or Metrics("ingest"), retention_days, sessions.expire)


async def keep(keeper: PartitionKeeper) -> None:
    """As the job does, without its pauses."""
    for _ in range(1000):
        try:
            return await keeper.keep()
        except AppError as error:
            if error.reason != "DATABASE_BUSY":
                raise
    raise AssertionError("never done")


async def copy_to(suite: Suite, session_id: UUID, days_ago: float) -> UUID:
    """The session, as if it had been that long ago."""
    old = uuid7(make.now() - timedelta(days=days_ago))
    ids = {"session_id": session_id, "old": str(old)}
    await suite.execute(COPY_SESSION, ids)
    for table in TABLES.values():
        await suite.execute(COPY_PREDICTIONS.format(table=table.name), ids)
    return old


async def recorded(person: Person) -> UUID:
    session_id = await person.start_session()
    assert (await person.record(session_id, make.batch(1, make.chunk()))).accepted == 3
    return session_id


async def partitions_of(suite: Suite) -> set[str]:
    async with suite.database.read() as tx:
        rows = await tx.fetch_all(
            "SELECT relname FROM pg_class WHERE relispartition AND relkind = 'r'"
            " AND relnamespace = 'ingest'::regnamespace"
        )
    return {row.relname for row in rows}


async def test_old_months_go_with_their_sessions(suite: Suite) -> None:
    await keeper(suite, LONG_DAYS).keep()
    session_id = await recorded(suite.person())
    for days in (130, 160, 190, 290):
        await copy_to(suite, session_id, days)
    kept = await copy_to(suite, session_id, 80)
    metrics = Metrics("ingest")
    await keeper(suite, metrics=metrics).keep()
    async with suite.database.read() as tx:
        assert {row.id for row in await tx.fetch_all("SELECT id FROM sessions")} == {session_id, kept}
        for table in TABLES.values():
            rows = await tx.fetch_all(f"SELECT DISTINCT session_id FROM {table.name}")  # noqa: S608
            assert {row.session_id for row in rows} == {session_id, kept}
    dropped = metrics.registry.get_sample_value("quietus_partitions_dropped_total")
    assert dropped
    assert dropped % 3 == 0
    assert metrics.registry.get_sample_value("quietus_sessions_expired_total") == 4


async def test_a_dropped_session_has_expired(suite: Suite) -> None:
    person = suite.person()
    old = await copy_to(suite, await recorded(person), 130)
    await keeper(suite).keep()
    with pytest.raises(grpc.aio.AioRpcError) as recording:
        await person.record(old, make.batch(2, make.chunk()))
    with pytest.raises(grpc.aio.AioRpcError) as opening:
        await person.stream(old)
    for error in (recording.value, opening.value):
        assert (error.code(), reason_of(error)) == (grpc.StatusCode.FAILED_PRECONDITION, "SESSION_EXPIRED")
    with pytest.raises(grpc.aio.AioRpcError) as reading:
        await person.stub.GetSession(ingest_pb2.GetSessionRequest(session_id=str(old)), metadata=person.metadata)
    assert reason_of(reading.value) == "SESSION_NOT_FOUND"


async def test_a_stream_goes_on_while_months_are_dropped(suite: Suite) -> None:
    await keeper(suite, LONG_DAYS).keep()
    person = suite.person()
    session_id = await recorded(person)
    for days in range(130, LONG_DAYS, 10):
        await copy_to(suite, session_id, days)
    before = await partitions_of(suite)
    stream = await person.stream(session_id)
    numbers = iter(range(2, 1000))
    sent = 1
    for _ in range(30):
        sent = next(numbers)
        await stream.send(sent, make.chunk())
    await keep(keeper(suite))
    for _ in range(30):
        sent = next(numbers)
        await stream.send(sent, make.chunk())
    assert await stream.acknowledged(sent) == []
    assert len(before - await partitions_of(suite)) % 3 == 0
    assert before > await partitions_of(suite)
    assert await suite.count("vision_predictions") == sent


async def test_no_partition_refuses_nothing(suite: Suite) -> None:
    assert not [name for name in await partitions_of(suite) if not name.endswith("_default")]
    session_id = await recorded(suite.person())
    await keeper(suite).keep()
    async with suite.database.read() as tx:
        for table in TABLES.values():
            place = await tx.scalar(f"SELECT tableoid::regclass::text FROM {table.name}")  # noqa: S608
            assert place == f"{table.name}_{make.now():%Y%m}"
        assert await sessions.find(tx, session_id)


async def test_a_session_that_somebody_holds_goes_the_next_time(suite: Suite) -> None:
    held, other = [await copy_to(suite, await recorded(suite.person()), days) for days in (130, 160)]
    async with suite.database.transaction() as tx:
        await sessions.lock(tx, held)
        await keeper(suite).keep()
        assert await sessions.find(tx, other) is None
        assert await sessions.find(tx, held)
    await keeper(suite).keep()
    async with suite.database.read() as tx:
        assert await sessions.find(tx, held) is None
