"""What both feeds told of chunks goes when ingest's predictions do; what was made of them stays."""

from datetime import UTC, datetime, timedelta

import pytest

from libs.common.db.database import Database
from libs.common.db.partition_keeper import PartitionKeeper
from libs.common.observability.metrics import Metrics
from quietus_edge.ids import uuid7
from services.patterns.app import handlers
from services.patterns.store import inputs
from tests.conftest import MakeDatabase
from tests.patterns.feeds import Batch, Chunk, End, apply, from_fusion, from_ingest, rows_of

HANDLERS = handlers()
PARTITIONED = {"ingested_batches", "chunk_features", "chunk_results"}
NEWER = "INSERT INTO ingested_batches SELECT CAST(:id AS uuid), batch_number, ordinal, user_id FROM ingested_batches"


@pytest.fixture
def database(make_database: MakeDatabase) -> Database:
    return make_database("patterns")


async def test_only_what_is_past_retention_goes(database: Database) -> None:
    """The sessions of these feeds have ids from long before there were any."""
    history = [
        Batch(0, 1, 1, [Chunk(1, 0.3, pitch_mean=180.0), Chunk(2, 0.4)]),
        End(0, 1),
        Batch(0, 2, 1, [Chunk(1, 0.2, pitch_mean=190.0)]),
    ]
    await apply(database, HANDLERS["ingest"], [from_ingest(one) for one in history])
    await apply(database, HANDLERS["fusion"], [from_fusion(one) for one in history])
    before = await rows_of(database)
    assert all(before[name] for name in PARTITIONED)
    metrics = Metrics("patterns")
    await PartitionKeeper(database, metrics, 90, inputs.expire).keep()
    after = await rows_of(database)
    assert {name: after[name] for name in before if name not in PARTITIONED} == {
        name: rows for name, rows in before.items() if name not in PARTITIONED
    }
    assert not any(after[name] for name in PARTITIONED)
    assert metrics.registry.get_sample_value("quietus_sessions_expired_total") == 2


async def test_months_that_are_kept_stay(database: Database) -> None:
    await apply(database, HANDLERS["ingest"], [from_ingest(Batch(0, 1, 1, [Chunk(1)]))])
    async with database.transaction() as tx:
        await tx.execute(NEWER, {"id": str(uuid7(datetime.now(UTC) - timedelta(days=60)))})
    await PartitionKeeper(database, Metrics("patterns"), 90, inputs.expire).keep()
    assert len((await rows_of(database))["ingested_batches"]) == 1
