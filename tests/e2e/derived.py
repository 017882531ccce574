"""What a slice has made of the feeds that it follows, whole and row by row; and how to make it forget all of it."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import asyncpg
import orjson

from libs.common.db.migrate import migrate_all
from quietus.common.v1.feed_pb2 import FeedPayload
from quietus.fusion.v1.events_pb2 import Event
from tests.e2e.checker import Rows

# The server's clock, in every table. All other columns are compared, computed_at and created_at too: they are capture
# times.
SERVER_CLOCKS = ("create_time",)

# Tables that aren't compared row by row, and why.
NOT_DERIVED: Mapping[str, str] = {
    "alembic_version": "of the migrations",
    "audit_logs": "who looked at what",
    "audit_head": "as audit_logs",
    "audit_salts": "random",
    "outbox": "groups differ; its events are compared, one by one and in order",
    "feed_head": "a position",
    "model_switches": "what people decided, and when; whoever empties a slice keeps them",
    "model_head": "the newest that was ever fused here",
    "feed_identity": "a feed that begins anew has a new name",
    "feed_followers": "who follows, and a position",
    "feed_cursors": "a position",
    "parked_events": "empty, as is checked when a run has settled",
}
TOLD = "events that were told"

_TABLES = """
SELECT c.relname, array_agg(a.attname::text ORDER BY a.attnum) AS key
FROM pg_class c JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY (i.indkey)
WHERE c.relnamespace = $1::text::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
GROUP BY c.relname
"""


async def keys_of(dsn: str, slice_name: str) -> Mapping[str, Sequence[str]]:
    """Of each derived table its primary key; a table without one is no table of ours."""
    connection = await asyncpg.connect(dsn)
    try:
        tables = {row["relname"]: row["key"] for row in await connection.fetch(_TABLES, slice_name)}
    finally:
        await connection.close()
    return {name: key for name, key in tables.items() if name not in NOT_DERIVED}


async def derived(dsn: str, keys: Mapping[str, Sequence[str]]) -> Rows:
    """Every row of fusion's derived tables, and every event that it told. A number is read with all of its bits."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=str, decoder=orjson.loads)
        found: dict[str, Sequence[Mapping[str, Any]]] = {}
        for table in keys:
            statement = f"SELECT to_jsonb(t) - $1::text[] FROM fusion.{table} AS t"  # noqa: S608 - a table of ours
            found[table] = [record[0] for record in await connection.fetch(statement, list(SERVER_CLOCKS))]
        payloads = await connection.fetch("SELECT payload FROM fusion.outbox ORDER BY partition, position")
    finally:
        await connection.close()
    return {**found, TOLD: _told([event for row in payloads for event in FeedPayload.FromString(row[0]).events])}


def _told(events: Sequence[bytes]) -> Sequence[Mapping[str, Any]]:
    """Numbered person by person: only what concerns one person has an order."""
    numbers: dict[str, int] = {}
    rows = []
    for data in events:
        event = Event.FromString(data)
        person = getattr(event, str(event.WhichOneof("event"))).user_id
        numbers[person] = numbers.get(person, 0) + 1
        rows.append({"user_id": person, "number": numbers[person], "event": str(event)})
    return rows


TOLD_KEY = ("user_id", "number")


async def forget(dsn: str, slice_name: str) -> None:
    """Drops everything of the slice and makes its tables anew. Its service is stopped meanwhile."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(f"DROP SCHEMA {slice_name} CASCADE")
    finally:
        await connection.close()
    await asyncio.to_thread(migrate_all, dsn, [slice_name])
