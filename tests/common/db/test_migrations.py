"""Each slice's migrations make exactly its tables, can be taken back, and leave rights on its own schema alone."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from uuid import uuid4

import asyncpg
import pytest
from sqlalchemy import make_url

from libs.common.db.alembic_env import slices_with_migrations
from libs.common.db.migrate import differences, downgrade_all, migrate_all
from libs.common.db.roles import OWNER_ROLE, dsn_for, slice_role
from tests.support import postgres

MIGRATED = slices_with_migrations()

LEFT = """
SELECT relname::text AS name FROM pg_class WHERE relnamespace = $1::regnamespace
UNION ALL SELECT proname::text FROM pg_proc WHERE pronamespace = $1::regnamespace
UNION ALL SELECT typname::text FROM pg_type WHERE typnamespace = $1::regnamespace
ORDER BY name
"""
MAKES_MONTHS = """
SELECT prosrc, prosecdef, proconfig, proacl::text FROM pg_proc
WHERE pronamespace = $1::regnamespace AND proname = 'ensure_partitions'
"""
# Who may do anything at all with a relation of the slice, beside its owner.
GRANTED = """
SELECT relname, relispartition, role, array_agg(may ORDER BY may) AS rights
FROM pg_class, unnest($2::text[]) AS role, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE']) AS may
WHERE relnamespace = $1::regnamespace AND relkind IN ('r', 'p', 'v') AND has_table_privilege(role, pg_class.oid, may)
GROUP BY relname, relispartition, role
"""
RELATIONS = """
SELECT relname, relispartition, relowner::regrole::text AS owner FROM pg_class
WHERE relnamespace = $1::regnamespace AND relkind IN ('r', 'p', 'v')
"""


@pytest.fixture
def empty_dsn(postgres_admin_dsn: str) -> Iterator[str]:
    """The administrator's, in a database of the test's own that has nothing."""
    dsn = asyncio.run(postgres.create_database(postgres_admin_dsn, "template1"))
    yield dsn
    asyncio.run(postgres.drop_database(postgres_admin_dsn, dsn))


@pytest.mark.parametrize("slice_name", MIGRATED)
def test_upgrade_makes_the_tables_and_downgrade_takes_all_back(empty_dsn: str, slice_name: str) -> None:
    for _ in range(2):
        migrate_all(empty_dsn, [slice_name])
        asyncio.run(make_partitions(empty_dsn, slice_name))
        assert differences(empty_dsn, [slice_name]) == []
        downgrade_all(empty_dsn, [slice_name])
        left = asyncio.run(fetch(empty_dsn, LEFT, slice_name))
        assert {
            row["name"] for row in left if not row["name"].startswith(("alembic_version", "_alembic_version"))
        } == set()


@pytest.mark.parametrize(("slice_name", "before"), [("ingest", "0007"), ("fusion", "0009"), ("patterns", "0002")])
def test_months_are_made_as_they_are_now_where_an_older_function_was(
    empty_dsn: str, slice_name: str, before: str
) -> None:
    migrate_all(empty_dsn, [slice_name])
    (now,) = asyncio.run(fetch(empty_dsn, MAKES_MONTHS, slice_name))
    for statement in (
        f"CREATE OR REPLACE FUNCTION {slice_name}.ensure_partitions(first_month date, months integer) RETURNS integer"
        " LANGUAGE sql RETURN 0",
        f"UPDATE {slice_name}.alembic_version SET version_num = '{before}'",  # noqa: S608 - of this test
    ):
        asyncio.run(postgres.execute(empty_dsn, statement))
    assert asyncio.run(fetch(empty_dsn, MAKES_MONTHS, slice_name)) != [now]
    migrate_all(empty_dsn, [slice_name])
    assert asyncio.run(fetch(empty_dsn, MAKES_MONTHS, slice_name)) == [now]


def test_upgrade_may_run_again_and_by_several_at_once(empty_dsn: str) -> None:
    slice_name = MIGRATED[0]
    command = [sys.executable, "-m", "libs.common.db.migrate", "--dsn", empty_dsn, "--slice", slice_name]
    racing = [subprocess.Popen([*command, "up"], stderr=subprocess.PIPE, text=True) for _ in range(2)]
    ended = [(process.wait(60), process.stderr.read() if process.stderr else "") for process in racing]
    assert ended == [(0, "")] * 2
    assert subprocess.run([*command, "check"], check=False).returncode == 0


def test_server_that_is_away_is_one_line() -> None:
    command = [sys.executable, "-m", "libs.common.db.migrate", "--dsn", "postgresql://x@/x?host=/nowhere", "up"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stderr.startswith("migrate: ")
    assert ended.stderr.count("\n") == 1


def test_administrator_need_not_be_superuser(empty_dsn: str) -> None:
    migrate_all(empty_dsn, MIGRATED[1:2])
    role, database = f"administrator_{uuid4().hex}", make_url(empty_dsn).database
    for statement in (
        f"CREATE ROLE {role} LOGIN CREATEROLE",
        f"GRANT CREATE ON DATABASE {database} TO {role}",
        f"GRANT {OWNER_ROLE} TO {role} WITH ADMIN OPTION",
    ):
        asyncio.run(postgres.execute(empty_dsn, statement))
    migrate_all(dsn_for(empty_dsn, role), MIGRATED[:1])
    assert differences(empty_dsn, MIGRATED[:1]) == []


def test_passwords_of_roles_can_be_set(empty_dsn: str) -> None:
    role = slice_role(MIGRATED[0])
    migrate_all(empty_dsn, MIGRATED[:1], {role: "it's"})
    stored = asyncio.run(fetch(empty_dsn, "SELECT rolpassword FROM pg_authid WHERE rolname = $1", role))
    assert stored[0]["rolpassword"].startswith("SCRAM-SHA-256$")


@pytest.mark.parametrize("slice_name", MIGRATED)
async def test_only_the_slice_has_rights_and_through_parents_alone(fresh_dsn: str, slice_name: str) -> None:
    granted = await fetch(fresh_dsn, GRANTED, slice_name, [slice_role(name) for name in MIGRATED])
    relations = await fetch(fresh_dsn, RELATIONS, slice_name)
    assert {row["owner"] for row in relations} == {OWNER_ROLE}
    assert {row["role"] for row in granted} == {slice_role(slice_name)}
    assert not any(row["relispartition"] for row in granted)
    rights = {row["relname"]: row["rights"] for row in granted}
    assert rights.keys() == {row["relname"] for row in relations if not row["relispartition"]}
    assert rights.pop("audit_logs") == ["INSERT", "SELECT"]
    assert rights.pop("alembic_version") == ["SELECT"]
    assert all(of_table == ["DELETE", "INSERT", "SELECT", "UPDATE"] for of_table in rights.values())


@pytest.mark.parametrize(
    ("reader", "owner"), [(reader, owner) for reader in MIGRATED for owner in MIGRATED if reader != owner]
)
async def test_slice_cannot_read_anothers_tables(fresh_dsn: str, reader: str, owner: str) -> None:
    connection = await asyncpg.connect(dsn_for(fresh_dsn, slice_role(reader)))
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.fetch(f"TABLE {owner}.users")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(f"CREATE TABLE {reader}.mine (n int)")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(f"SET ROLE {OWNER_ROLE}")
    finally:
        await connection.close()


async def make_partitions(dsn: str, slice_name: str) -> None:
    """They belong to the tables, and are nothing that a migration makes or that autogenerate may drop."""
    if await fetch(dsn, "SELECT WHERE to_regproc($1) IS NOT NULL", f"{slice_name}.ensure_partitions"):
        await fetch(dsn, f"SELECT {slice_name}.ensure_partitions(current_date, 2)")


async def fetch(dsn: str, statement: str, *values: object) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetch(statement, *values)
    finally:
        await connection.close()
