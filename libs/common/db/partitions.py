"""Monthly partitions of tables that are RANGE(session_id): a session's id is a UUIDv7, so its month is in the id.

Only the owner can make tables; the slice calls a function of the owner's that can make these alone.
"""

from asyncio import sleep
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NoReturn

import structlog

from libs.common.db.database import Database, Transaction
from libs.common.rpc.errors import AppError

MONTHS_BACK = 4
MONTHS_AHEAD = 2
EVERY_SECONDS = 3600.0
AGAIN_SECONDS = 5.0

_log = structlog.get_logger()

# A partition is made apart and attached, because that lets everybody go on writing to the others. Rows that came before
# their partition are in DEFAULT and move with it. Who waits longer than lock_timeout gives up, and tries again later.
_ENSURE_PARTITIONS = """
CREATE FUNCTION {schema}.ensure_partitions(first_month date, months integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms' AS $function$
DECLARE
    parent text;
    child text;
    month date;
    lower_bound uuid;
    upper_bound uuid;
    made integer := 0;
BEGIN
    IF months NOT BETWEEN 1 AND 120 THEN
        RAISE EXCEPTION 'between 1 and 120 months at a time' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    FOREACH parent IN ARRAY ARRAY[{tables}] LOOP
        FOR i IN 0 .. months - 1 LOOP
            month := date_trunc('month', first_month) + make_interval(months => i);
            child := parent || to_char(month, '_YYYYMM');
            CONTINUE WHEN to_regclass(format('{schema}.%I', child)) IS NOT NULL;
            lower_bound := {schema}.first_uuid7(month);
            upper_bound := {schema}.first_uuid7((month + interval '1 month')::date);
            EXECUTE format('LOCK TABLE {schema}.%I IN ACCESS EXCLUSIVE MODE', parent || '_default');
            EXECUTE format('CREATE TABLE {schema}.%I (LIKE {schema}.%I INCLUDING ALL EXCLUDING IDENTITY)',
                           child, parent);
            EXECUTE format(
                'WITH moved AS (DELETE FROM {schema}.%I WHERE session_id >= %L AND session_id < %L RETURNING *)'
                ' INSERT INTO {schema}.%I SELECT * FROM moved', parent || '_default', lower_bound, upper_bound, child);
            EXECUTE format('ALTER TABLE {schema}.%I ATTACH PARTITION {schema}.%I FOR VALUES FROM (%L) TO (%L)',
                           parent, child, lower_bound, upper_bound);
            made := made + 1;
        END LOOP;
    END LOOP;
    RETURN made;
END
$function$
"""

_FIRST_UUID7 = """
CREATE FUNCTION {schema}.first_uuid7(month date) RETURNS uuid
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp RETURN CAST(
    rpad(lpad(to_hex(CAST(extract(epoch FROM month::timestamp) * 1000 AS bigint)), 12, '0'), 32, '0') AS uuid)
"""


def create_partitioning(op: Any, schema: str, tables: Sequence[str]) -> None:
    """In a migration, after the partitioned tables: their DEFAULT partitions and the function that makes the others."""
    for table in tables:
        op.execute(f"CREATE TABLE {schema}.{table}_default PARTITION OF {schema}.{table} DEFAULT")
    names = ", ".join(f"'{table}'" for table in tables)
    op.execute(_FIRST_UUID7.format(schema=schema))
    op.execute(_ENSURE_PARTITIONS.format(schema=schema, tables=names))
    op.execute(f"REVOKE ALL ON FUNCTION {schema}.ensure_partitions(date, integer) FROM PUBLIC")
    op.execute(f"REVOKE ALL ON FUNCTION {schema}.first_uuid7(date) FROM PUBLIC")


def drop_partitioning(op: Any, schema: str) -> None:
    """The functions; partitions go with their tables."""
    op.execute(f"DROP FUNCTION {schema}.ensure_partitions(date, integer)")
    op.execute(f"DROP FUNCTION {schema}.first_uuid7(date)")


async def keep_partitions(database: Database) -> NoReturn:
    """A background task: makes what lacks, every hour. Rows whose month isn't there yet wait in DEFAULT."""
    while True:
        pause_seconds = EVERY_SECONDS
        try:
            async with database.transaction() as tx:
                await ensure_partitions(tx)
        except AppError as error:
            _log.warning("partitions_not_made", reason=error.reason)
            pause_seconds = AGAIN_SECONDS
        await sleep(pause_seconds)


async def ensure_partitions(
    tx: Transaction, now: datetime | None = None, months_back: int = MONTHS_BACK, months_ahead: int = MONTHS_AHEAD
) -> int:
    """Makes what lacks from months_back before to months_ahead after this month, and returns how many it made.

    For a job, in a transaction of its own. Raises DATABASE_BUSY when somebody writes for too long; try again then.
    """
    today = (now or datetime.now(UTC)).astimezone(UTC)
    index = today.year * 12 + today.month - 1 - months_back
    first_month = today.date().replace(year=index // 12, month=index % 12 + 1, day=1)
    made: int = await tx.scalar(
        "SELECT ensure_partitions(:first_month, :months)",
        {"first_month": first_month, "months": months_back + 1 + months_ahead},
    )
    return made
