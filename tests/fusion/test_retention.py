"""Inputs go when ingest's predictions do; results stay, and are told anew no more."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from libs.common.db.database import Database
from libs.common.db.partition_keeper import PartitionKeeper
from libs.common.observability.metrics import Metrics
from quietus_edge.ids import uuid7
from services.fusion.backfill import History
from services.fusion.fold import Models
from services.fusion.store import inputs
from tests.fusion.events import apply, committed, ended, table
from tests.fusion.make import batch, chunk, predictions, said

RETENTION_DAYS = 90
LONG_DAYS = 300


def days_ago(days: float) -> UUID:
    return uuid7(datetime.now(UTC) - timedelta(days=days))


def keeper(database: Database, retention_days: int = RETENTION_DAYS) -> PartitionKeeper:
    return PartitionKeeper(database, Metrics("fusion"), retention_days, inputs.expire)


async def fuse(database: Database, models: Models, *session_ids: UUID) -> None:
    for session_id in session_ids:
        one = batch(1, *predictions(chunk(1, text=said(0.3))), session_id=session_id)
        await apply(database, models, [committed(one), ended(session_id)])


async def sessions_in(database: Database, name: str) -> set[UUID]:
    return {row["session_id"] for row in await table(database, name)}


async def test_inputs_of_old_months_go_and_results_stay(database: Database, models: Models) -> None:
    await keeper(database, LONG_DAYS).keep()
    old, kept = days_ago(150), days_ago(60)
    await fuse(database, models, old, kept)
    await keeper(database).keep()
    assert await sessions_in(database, "chunk_inputs") == {kept}
    for name in ("fusion_results", "session_states", "session_ends"):
        assert await sessions_in(database, name) == {old, kept}


async def test_inputs_that_came_too_late_go_too(database: Database, models: Models) -> None:
    await keeper(database).keep()
    late = {days_ago(150 + days) for days in range(inputs.EXPIRED_AT_ONCE + 1)}
    await fuse(database, models, *late)
    assert await sessions_in(database, "chunk_inputs") == late
    await keeper(database).keep()
    assert await sessions_in(database, "chunk_inputs") == set()


async def test_what_ingest_tells_no_more_isnt_told(database: Database, models: Models) -> None:
    """Who follows both feeds would wait for it for ever."""
    await fuse(database, models, days_ago(150))
    async with database.read() as tx:
        assert [one async for one in History(RETENTION_DAYS).events(tx)] == []
        assert len([one async for one in History(LONG_DAYS).events(tx)]) == 2
