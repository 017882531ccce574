"""Monthly partitions of tables that are RANGE(session_id): a session's id is a UUIDv7, so its month is in the id.

Only the owner can make and drop tables; the slice calls functions of the owner's that do it with these alone.
partition_keeper.py calls them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

from libs.common.db.database import Transaction
from quietus_edge import ids

# What is younger can't be dropped, whoever asks for it.
KEPT_DAYS_MIN = 28

# A partition is made apart and attached, because that lets everybody go on writing to the others. Rows that came before
# their partition are in DEFAULT and move with it. Who waits longer than lock_timeout gives up, and tries again later.
# Attaching copies foreign keys, for which nobody may write the tables that they refer to, such as sessions. These are
# locked first, for as long as rows move, since their writers come to them first: DEFAULT before them is a deadlock with
# each transaction that writes a session and then its rows.
_ENSURE_PARTITIONS = """
CREATE OR REPLACE FUNCTION {schema}.ensure_partitions(first_month date, months integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms' AS $function$
DECLARE
    parent text;
    child text;
    referenced regclass;
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
            FOR referenced IN SELECT DISTINCT confrelid::regclass AS named FROM pg_constraint
                    WHERE conrelid = format('{schema}.%I', parent)::regclass AND contype = 'f' ORDER BY named LOOP
                EXECUTE format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', referenced);
            END LOOP;
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

# One partition a call, so that nobody waits for more than one. The parent is locked first: whoever uses a partition
# came through it. A partition is dropped only if it holds exactly the month that its name says.
_DROP_PARTITIONS = """
CREATE FUNCTION {schema}.drop_partitions(first_month_kept date) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms' AS $function$
DECLARE
    parent name;
    child name;
BEGIN
    IF first_month_kept IS NULL OR extract(day FROM first_month_kept) <> 1
            OR first_month_kept > (now() AT TIME ZONE 'UTC')::date - {kept_days_min} THEN
        RAISE EXCEPTION 'the first day of a month, {kept_days_min} days ago or earlier'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT p.relname, c.relname INTO parent, child
    FROM pg_class p JOIN pg_inherits ON inhparent = p.oid JOIN pg_class c ON c.oid = inhrelid
    CROSS JOIN LATERAL (SELECT to_date(substring(c.relname FROM '_([0-9]{{6}})$'), 'YYYYMM') AS month) AS named
    WHERE p.relnamespace = '{schema}'::regnamespace AND p.relname IN ({tables}) AND month < first_month_kept
        AND pg_get_expr(c.relpartbound, c.oid) = format('FOR VALUES FROM (%L) TO (%L)',
            {schema}.first_uuid7(month), {schema}.first_uuid7((month + interval '1 month')::date))
    ORDER BY month, p.relname LIMIT 1;
    IF child IS NOT NULL THEN
        EXECUTE format('LOCK TABLE ONLY {schema}.%I IN ACCESS EXCLUSIVE MODE', parent);
        EXECUTE format('DROP TABLE {schema}.%I', child);
    END IF;
    RETURN child;
END
$function$
"""

# Rows are counted up to a bound: where many wait, nobody needs to know how many.
_PARTITION_STATES = """
CREATE FUNCTION {schema}.partition_states(OUT parent text, OUT default_rows bigint, OUT made_until date)
RETURNS SETOF record
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    FOREACH parent IN ARRAY ARRAY[{tables}] LOOP
        EXECUTE format('SELECT count(*) FROM (SELECT FROM {schema}.%I LIMIT {counted_max}) AS waiting',
                       parent || '_default') INTO default_rows;
        SELECT max(to_date(substring(c.relname FROM '_([0-9]{{6}})$'), 'YYYYMM')) + interval '1 month' INTO made_until
        FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid
        WHERE inhparent = format('{schema}.%I', parent)::regclass;
        RETURN NEXT;
    END LOOP;
END
$function$
"""
_COUNTED_MAX = 100_000


@dataclass(frozen=True, slots=True)
class PartitionState:
    """`default_rows`: up to 100,000. `made_until`: the first day that has no partition yet; None without any."""

    parent: str
    default_rows: int
    made_until: date | None


def create_partitioning(op: Any, schema: str, tables: Sequence[str]) -> None:
    """In a migration, after the partitioned tables: their DEFAULT partitions and the function that makes the others."""
    for table in tables:
        op.execute(f"CREATE TABLE {schema}.{table}_default PARTITION OF {schema}.{table} DEFAULT")
    op.execute(_FIRST_UUID7.format(schema=schema))
    replace_ensure_partitions(op, schema, tables)
    op.execute(f"REVOKE ALL ON FUNCTION {schema}.ensure_partitions(date, integer) FROM PUBLIC")
    op.execute(f"REVOKE ALL ON FUNCTION {schema}.first_uuid7(date) FROM PUBLIC")


def replace_ensure_partitions(op: Any, schema: str, tables: Sequence[str]) -> None:
    """In a migration: the function as it is now, where an earlier migration made one that took its locks otherwise."""
    op.execute(_ENSURE_PARTITIONS.format(schema=schema, tables=_listed(tables)))


def drop_partitioning(op: Any, schema: str) -> None:
    """The functions; partitions go with their tables."""
    op.execute(f"DROP FUNCTION {schema}.ensure_partitions(date, integer)")
    op.execute(f"DROP FUNCTION {schema}.first_uuid7(date)")


def create_retention(op: Any, schema: str, tables: Sequence[str], expiring: Sequence[str]) -> None:
    """In a migration: the functions that tell how partitions stand, and that drop the old ones of `expiring`."""
    states = _PARTITION_STATES.format(schema=schema, tables=_listed(tables), counted_max=_COUNTED_MAX)
    drop = _DROP_PARTITIONS.format(schema=schema, tables=_listed(expiring), kept_days_min=KEPT_DAYS_MIN)
    op.execute(states)
    op.execute(drop)
    op.execute(f"REVOKE ALL ON FUNCTION {schema}.partition_states() FROM PUBLIC")
    op.execute(f"REVOKE ALL ON FUNCTION {schema}.drop_partitions(date) FROM PUBLIC")


def drop_retention(op: Any, schema: str) -> None:
    op.execute(f"DROP FUNCTION {schema}.drop_partitions(date)")
    op.execute(f"DROP FUNCTION {schema}.partition_states()")


def first_month_kept(now: datetime, retention_days: int) -> date:
    """Of the months that aren't wholly past retention, the first; its first day."""
    return (now.astimezone(UTC) - timedelta(days=max(retention_days, KEPT_DAYS_MIN))).date().replace(day=1)


def month_after(month: date, months: int) -> date:
    index = month.year * 12 + month.month - 1 + months
    return month.replace(year=index // 12, month=index % 12 + 1)


def first_uuid7(month: date) -> UUID:
    """No UUIDv7 of the month or later is less."""
    return ids.first_uuid7(datetime(month.year, month.month, 1, tzinfo=UTC))


async def ensure_partitions(tx: Transaction, first_month: date, months: int) -> int:
    """Makes what lacks, and returns how many it made. `months`: 1 to 120, each with its partitions.

    For a job, in a transaction of its own. Raises DATABASE_BUSY when somebody writes for too long; try again then.
    """
    made: int = await tx.scalar(
        "SELECT ensure_partitions(:first_month, :months)", {"first_month": first_month, "months": months}
    )
    return made


async def drop_partitions(tx: Transaction, first_month_kept: date) -> str | None:
    """Drops one partition of an earlier month, the oldest, and returns its name; None when there is none.

    For a job, in a transaction of its own: until its COMMIT nobody else uses the table. Raises DATABASE_BUSY when
    somebody uses it for too long; try again then.
    """
    dropped: str | None = await tx.scalar("SELECT drop_partitions(:month)", {"month": first_month_kept})
    return dropped


async def partition_states(tx: Transaction) -> Sequence[PartitionState]:
    rows = await tx.fetch_all("SELECT parent, default_rows, made_until FROM partition_states()")
    return [PartitionState(*row) for row in rows]


def _listed(tables: Sequence[str]) -> str:
    return ", ".join(f"'{table}'" for table in tables)
