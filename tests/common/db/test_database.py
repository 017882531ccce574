"""What a use case can rely on between BEGIN and COMMIT."""

import asyncio
import importlib
import os
import signal
from collections.abc import Sequence
from uuid import uuid4

import asyncpg
import psutil
import pytest
from sqlalchemy import make_url

from libs.common.db import database as database_module
from libs.common.db.connections import check_room
from libs.common.db.database import Database, Transaction
from libs.common.db.roles import SLICES, dsn_for, slice_role
from libs.common.db.sizes import DIRECT_CONNECTIONS, OTHER_CONNECTIONS, SERVER_CONNECTIONS, SERVICE_CONNECTIONS
from libs.common.feed.outbox import Batch, OutboxEvent
from libs.common.observability.metrics import Metrics
from libs.common.people import ensure_user
from libs.common.rpc.errors import AppError, ErrorKind
from services.fusion.app import FOLLOWER_CONNECTIONS
from services.ingest.app import compose, connections_each
from services.ingest.settings import IngestSettings
from tests.conftest import MakeDatabase
from tests.support import disk, postgres

ADD = "INSERT INTO users (user_id, anonymous_id) VALUES (:user_id, :anonymous_id)"
COUNT = "SELECT count(*) FROM users"


@pytest.fixture
def database(make_database: MakeDatabase) -> Database:
    return make_database("alerts")


async def add_someone(database: Database, anonymous_id: str = "") -> None:
    async with database.transaction() as tx:
        await tx.execute(ADD, {"user_id": uuid4(), "anonymous_id": anonymous_id or str(uuid4())})


async def count(database: Database) -> int:
    async with database.read() as tx:
        number: int = await tx.scalar(COUNT)
        return number


async def test_commits_at_the_end_and_rolls_back_what_is_raised(database: Database) -> None:
    async def fail() -> None:
        async with database.transaction() as tx:
            await ensure_user(tx, uuid4(), "somebody")
            raise KeyError

    await add_someone(database)
    with pytest.raises(KeyError):
        await fail()
    assert await count(database) == 1


async def test_driver_is_in_the_same_transaction(database: Database) -> None:
    async def fail() -> None:
        async with database.transaction() as tx:
            await tx.driver.copy_records_to_table(
                "users", columns=["user_id", "anonymous_id"], records=[(uuid4(), str(uuid4()))]
            )
            assert await tx.scalar(COUNT) == 1
            raise KeyError

    with pytest.raises(KeyError):
        await fail()
    assert await count(database) == 0


async def test_savepoint_takes_back_what_failed_alone(database: Database) -> None:
    async def add_twin(tx: Transaction) -> None:
        async with tx.savepoint():
            tx.append_to_outbox([OutboxEvent(None, b"never")])
            await tx.driver.execute("INSERT INTO users SELECT * FROM users")

    async with database.transaction() as tx:
        await ensure_user(tx, uuid4(), "first")
        with pytest.raises(asyncpg.UniqueViolationError):
            await add_twin(tx)
        await ensure_user(tx, uuid4(), "second")
    assert await count(database) == 2
    async with database.read() as tx:
        assert await tx.scalar("SELECT count(*) FROM outbox") == 0


async def test_read_sees_one_snapshot_and_writes_nothing(database: Database) -> None:
    async with database.read() as tx:
        assert await tx.scalar(COUNT) == 0
        await add_someone(database)
        assert await tx.scalar(COUNT) == 0
    with pytest.raises(AppError) as raised:
        async with database.read() as tx:
            await ensure_user(tx, uuid4(), "somebody")
    assert raised.value.reason == "DATABASE_ERROR"


async def test_session_settings(database: Database) -> None:
    async with database.read() as tx:
        shown = [
            await tx.scalar(f"SELECT current_setting('{name}')")
            for name in ("search_path", "jit", "statement_timeout", "lock_timeout", "TimeZone")
        ]
    assert shown == ["alerts", "off", "10s", "5s", "UTC"]


async def test_outbox_is_written_last_and_hooks_run_after_the_commit(database: Database) -> None:
    happened: list[tuple[int, bytes] | str] = []

    def appended(batches: list[Batch]) -> None:
        happened.extend((batch.position, batch.payload) for batch in batches)

    database.after_append.append(appended)  # type: ignore[arg-type]
    database.after_commit.append(lambda: happened.append("committed"))
    async with database.transaction() as tx:
        tx.append_to_outbox([OutboxEvent(None, b"one")])
        tx.append_to_outbox([OutboxEvent(None, b"two")])
        assert await tx.scalar("SELECT position FROM feed_head") == 0
        assert happened == []
    assert happened == [(1, b"\n\x03one\n\x03two"), "committed"]
    await add_someone(database)
    assert happened[2:] == ["committed"]


async def test_positions_are_dense_however_transactions_race(database: Database) -> None:
    async def append(number: int) -> None:
        async with database.transaction() as tx:
            tx.append_to_outbox([OutboxEvent(None, b"event")])
            if number % 5 == 0:
                raise KeyError

    await asyncio.gather(*(append(number) for number in range(50)), return_exceptions=True)
    async with database.read() as tx:
        rows = await tx.fetch_all("SELECT position FROM outbox ORDER BY position")
    assert [row.position for row in rows] == list(range(1, 41))


async def test_hook_that_fails_does_not_make_a_commit_look_failed(database: Database) -> None:
    database.after_commit.append(lambda: 1 / 0)  # type: ignore[arg-type]
    await add_someone(database)
    assert await count(database) == 1


async def test_commit_that_fails_tells_the_hooks(database: Database, fresh_dsn: str) -> None:
    await postgres.execute(fresh_dsn, "ALTER TABLE alerts.users ADD UNIQUE (timezone) DEFERRABLE INITIALLY DEFERRED")
    failed: list[str] = []
    database.commit_failed.append(lambda: failed.append("unknown"))
    await add_someone(database)
    await add_someone(database)
    with pytest.raises(AppError):
        async with database.transaction() as tx:
            await tx.execute("UPDATE users SET timezone = 'UTC'")
    assert failed == ["unknown"]
    async with database.read() as tx:
        assert await tx.scalar("SELECT count(timezone) FROM users") == 0


async def test_driver_error_says_nothing_of_rows(database: Database, capsys: pytest.CaptureFixture[str]) -> None:
    await add_someone(database, "whispered")
    with pytest.raises(AppError) as raised:
        await add_someone(database, "whispered")
    error = raised.value
    assert (error.kind, error.reason) == (ErrorKind.INTERNAL, "DATABASE_ERROR")
    assert error.__suppress_context__
    shown = f"{error} {error.message} {error.metadata} {''.join(capsys.readouterr())}"
    assert "whispered" not in shown
    assert "23505" in shown
    assert "test_database.py" in shown


async def test_slow_statement_and_full_pool_are_busy(fresh_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_module, "POOL_TIMEOUT_SECONDS", 0.01)
    database = Database(dsn_for(fresh_dsn, slice_role("alerts")), "alerts", 1, statement_timeout_seconds=0.01)
    with pytest.raises(AppError) as slow:
        async with database.read() as tx:
            await tx.scalar("SELECT pg_sleep(60)")
    with pytest.raises(AppError) as full:
        async with database.read(), database.read():
            pass
    assert {slow.value.reason, full.value.reason} == {"DATABASE_BUSY"}
    assert {slow.value.kind, full.value.kind} == {ErrorKind.UNAVAILABLE}
    await database.close()


async def test_server_that_is_away_is_unavailable() -> None:
    database = Database("postgresql://quietus_alerts@/quietus?host=/nowhere", "alerts")
    for attempt in (database.transaction, database.read):
        with pytest.raises(AppError) as raised:
            async with attempt():
                pass
        assert raised.value.reason == "DATABASE_UNAVAILABLE"
    with pytest.raises(AppError, match="UNAVAILABLE"):
        await database.connect_directly()


@pytest.mark.parametrize("driver", [True, False])
async def test_files_that_can_not_grow_are_unavailable(database: Database, driver: bool) -> None:
    """As at a quota, for which Postgres has no SQLSTATE."""
    many = "INSERT INTO users (user_id, anonymous_id) SELECT gen_random_uuid(), n FROM generate_series(1, 5000) AS n"

    async def grow() -> None:
        async with database.transaction() as tx:
            backend = psutil.Process(await tx.scalar("SELECT pg_backend_pid()"))
            disk.limit_files([backend])
            try:
                await (tx.driver.execute(many) if driver else tx.execute(many))
            finally:
                disk.unlimit_files([backend])

    with pytest.raises(AppError) as raised:
        await grow()
    assert (raised.value.kind, raised.value.reason) == (ErrorKind.UNAVAILABLE, "DATABASE_UNAVAILABLE")
    await add_someone(database)
    assert await count(database) == 1


async def test_server_that_lets_nobody_in_is_unavailable(
    make_database: MakeDatabase, fresh_dsn: str, postgres_admin_dsn: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """As during a restore: what was not begun may be tried again."""
    name = make_url(fresh_dsn).database
    database = make_database("alerts", pool_size=1)
    await postgres.execute(postgres_admin_dsn, f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    for _ in range(2):
        with pytest.raises(AppError) as raised:
            await add_someone(database)
        assert (raised.value.kind, raised.value.reason) == (ErrorKind.UNAVAILABLE, "DATABASE_UNAVAILABLE")
    assert "55000" in capsys.readouterr().out
    await postgres.execute(postgres_admin_dsn, f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    await add_someone(database)


async def test_killed_connections_fail_one_use_each_at_most(database: Database, fresh_dsn: str) -> None:
    kill = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = $1"
    alerts = slice_role("alerts")

    async def lose_connection() -> None:
        async with database.transaction() as tx:
            await postgres.execute(fresh_dsn, kill, alerts)
            await tx.scalar(COUNT)

    with pytest.raises(AppError) as raised:
        await lose_connection()
    assert raised.value.reason == "DATABASE_UNAVAILABLE"
    await add_someone(database)

    await postgres.execute(fresh_dsn, kill, alerts)
    await add_someone(database)
    assert await count(database) == 2


async def test_work_beside_may_wait_less_for_a_lock(make_database: MakeDatabase) -> None:
    holder = make_database("alerts")
    await add_someone(holder)
    beside = holder.beside(1, lock_timeout_seconds=0.1)
    lock = "SELECT 1 FROM users FOR UPDATE"
    try:
        async with holder.transaction() as tx:
            await tx.execute(lock)
            with pytest.raises(AppError, match="DATABASE_BUSY"):
                await asyncio.wait_for(_run(beside, lock), 4)  # less than what everybody else waits
    finally:
        await beside.close()


async def _run(database: Database, statement: str) -> None:
    async with database.transaction() as tx:
        await tx.execute(statement)


async def test_a_server_that_stops_in_mid_transaction_is_given_up(make_database: MakeDatabase) -> None:
    bounded = make_database("alerts").beside(1, transaction_timeout_seconds=0.5)

    async def hang() -> None:
        async with bounded.transaction() as tx:
            backends.append(await tx.scalar("SELECT pg_backend_pid()"))
            os.kill(backends[0], signal.SIGSTOP)
            await tx.scalar(COUNT)

    backends: list[int] = []
    try:
        with pytest.raises(AppError) as raised:
            await asyncio.wait_for(hang(), 30)
        assert (raised.value.kind, raised.value.reason) == (ErrorKind.UNAVAILABLE, "DATABASE_UNAVAILABLE")
        await add_someone(bounded)
    finally:
        os.kill(backends[0], signal.SIGCONT)
        await bounded.close()


async def test_connection_that_is_told_goodbye_is_unavailable_once(database: Database) -> None:
    """The server's last words have come, the end of the connection has not: so it is for a moment when it is killed."""
    words = b"SFATAL\0VFATAL\0C57P01\0Mterminating connection\0\0"
    goodbye = b"E" + (len(words) + 4).to_bytes(4, "big") + words

    async def hear_goodbye_inside() -> None:
        async with database.transaction() as tx:
            tx.driver._protocol.data_received(goodbye)  # type: ignore[attr-defined]
            await tx.scalar(COUNT)

    async with database.read() as tx:
        driver = tx.driver
    driver._protocol.data_received(goodbye)  # type: ignore[attr-defined]
    for use in (add_someone(database), hear_goodbye_inside()):
        with pytest.raises(AppError) as raised:
            await use
        assert raised.value.reason == "DATABASE_UNAVAILABLE"
    await add_someone(database)
    assert await count(database) == 1


async def test_cancelled_use_case_leaves_nothing_behind(make_database: MakeDatabase) -> None:
    database = make_database("alerts", pool_size=1)
    begun = asyncio.Event()

    async def use_case() -> None:
        async with database.transaction() as tx:
            await ensure_user(tx, uuid4(), "somebody")
            begun.set()
            await tx.scalar("SELECT pg_sleep(60)")

    for _ in range(3):
        begun.clear()
        task = asyncio.create_task(use_case())
        await begun.wait()
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert await count(database) == 0


async def test_connections_beside_a_pool_wait_for_nobody_and_tell_its_hooks(make_database: MakeDatabase) -> None:
    database = make_database("alerts", pool_size=1)
    beside = database.beside(1)
    told: list[Sequence[Batch]] = []
    database.after_append.append(told.append)
    try:
        async with database.read(), beside.transaction() as tx:
            tx.append_to_outbox([OutboxEvent(uuid4(), b"event")])
    finally:
        await beside.close()
    assert len(told) == 1


async def test_json_is_read_and_written(database: Database) -> None:
    async with database.read() as tx:
        assert await tx.scalar("SELECT jsonb_build_object('a', 1, 'b', 'ü')") == {"a": 1, "b": "ü"}


def test_what_all_services_hold_leaves_room_for_others() -> None:
    others = sum(pool_size(slice_name) + DIRECT_CONNECTIONS for slice_name in SLICES if slice_name != "ingest")
    others += FOLLOWER_CONNECTIONS
    assert others < OTHER_CONNECTIONS
    assert others + connections_each(IngestSettings()) < SERVICE_CONNECTIONS < SERVER_CONNECTIONS


async def test_processes_that_would_hold_too_many_connections_dont_start(fresh_dsn: str) -> None:
    settings = IngestSettings(database_url=dsn_for(fresh_dsn, slice_role("ingest")), workers=20)
    with pytest.raises(AppError) as raised:
        await compose(settings, Metrics("ingest"))
    each = connections_each(settings)
    assert (raised.value.kind, raised.value.reason) == (ErrorKind.FAILED_PRECONDITION, "TOO_MANY_CONNECTIONS")
    assert f"20 processes hold {20 * each} connections" in raised.value.message
    assert "set QUIETUS_INGEST_WORKERS to 5" in raised.value.message


async def test_as_many_processes_as_the_server_has_room_for_start(make_database: MakeDatabase) -> None:
    await check_room(make_database("ingest"), 5, connections_each(IngestSettings()), "QUIETUS_INGEST_WORKERS")
    nowhere = Database("postgresql://nobody@127.0.0.1:1/none", "ingest")
    await check_room(nowhere, 500, 11, "QUIETUS_INGEST_WORKERS")


def pool_size(slice_name: str) -> int:
    module = importlib.import_module(f"services.{slice_name}.settings")
    (settings,) = (value for name, value in vars(module).items() if name == f"{slice_name.title()}Settings")
    default: int = settings.model_fields["database_pool_size"].default
    return default
