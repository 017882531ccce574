"""How fast Postgres takes the same rows by a plain COPY: no events, no fusion, no foreign keys, no partitions."""

import io
import time
from collections.abc import AsyncIterator
from statistics import median
from typing import Any

import asyncpg

ROUNDS = 3
_OF_SESSIONS = ("fusion_results", "chunk_inputs", "dissonance_records", "llm_explanations")
# Of some sessions, and as great a share of the feed.
_SOME = "SELECT session_id FROM fusion.session_states ORDER BY session_id LIMIT 16"
_OF_FEED = """
SELECT * FROM fusion.outbox ORDER BY position
LIMIT (SELECT count(*) * 16 / (SELECT count(*) FROM fusion.session_states) FROM fusion.outbox)
"""


async def copy_rate(admin_dsn: str) -> float:
    """Chunks a second, by one connection that has all rows ready."""
    connection = await asyncpg.connect(admin_dsn)
    try:
        return await _copy_rate(connection)
    finally:
        await connection.close()


async def _copy_rate(connection: "asyncpg.Connection[Any]") -> float:
    rows = {table: f"SELECT * FROM fusion.{table} WHERE session_id IN ({_SOME})" for table in _OF_SESSIONS}  # noqa: S608
    data = {}
    await connection.execute("CREATE SCHEMA copied")
    for table, query in (rows | {"outbox": _OF_FEED}).items():
        await connection.execute(f"CREATE TABLE copied.{table} (LIKE fusion.{table} INCLUDING ALL)")
        buffer = io.BytesIO()
        await connection.copy_from_query(query, output=buffer, format="binary")
        data[table] = buffer.getvalue()
    chunks: int = await connection.fetchval(f"SELECT count(*) FROM ({rows['fusion_results']}) copied")  # noqa: S608
    return chunks / median([await _copy(connection, data) for _ in range(ROUNDS)])


async def _copy(connection: "asyncpg.Connection[Any]", data: dict[str, bytes]) -> float:
    """Seconds."""
    await connection.execute(f"TRUNCATE {', '.join(f'copied.{table}' for table in data)}")
    await connection.execute("CHECKPOINT")
    start = time.perf_counter()
    async with connection.transaction():
        for table, rows in data.items():
            await connection.copy_to_table(table, schema_name="copied", source=_parts(rows), format="binary")
    return time.perf_counter() - start


async def _parts(rows: bytes) -> AsyncIterator[bytes]:
    yield rows
