"""One slice's database: a pool of connections and the transactions that use cases open."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import asyncpg
import orjson
import structlog
from sqlalchemy import CursorResult, Executable, Row, TextClause, event, make_url, text
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from libs.common.db import audit
from libs.common.db.errors import DRIVER_ERRORS, database_busy, to_app_error
from libs.common.db.roles import driver_url

if TYPE_CHECKING:
    from libs.common.feed.outbox import Batch, OutboxEvent

AnyRow = Row[*tuple[Any, ...]]
Parameters = Mapping[str, Any] | Sequence[Mapping[str, Any]]

POOL_TIMEOUT_SECONDS = 5.0
CONNECT_TIMEOUT_SECONDS = 5.0
LOCK_TIMEOUT_SECONDS = 5.0

_log = structlog.get_logger()


class Transaction:
    """What runs between BEGIN and COMMIT. Statements are SQLAlchemy's, or SQL text with :named parameters."""

    def __init__(self, connection: AsyncConnection, driver: "asyncpg.Connection[Any]", *, read_only: bool) -> None:
        self.connection = connection
        # For COPY and other hot paths; it is in this very transaction.
        self.driver = driver
        self.read_only = read_only
        self.audit_entries: list[audit.AuditEntry] = []
        # What the outbox was given; complete when the transaction is about to commit.
        self.batches: list[Batch] = []
        self._outbox: list[OutboxEvent] = []

    async def execute(self, statement: Executable | str, parameters: Parameters | None = None) -> CursorResult[Any]:
        """A sequence of parameters executes the statement for each of them."""
        compiled = _text(statement) if isinstance(statement, str) else statement
        return await self.connection.execute(compiled, parameters)

    async def scalar(self, statement: Executable | str, parameters: Parameters | None = None) -> Any:
        """The first column of the first row; None when there is none."""
        return (await self.execute(statement, parameters)).scalar()

    async def fetch_one(self, statement: Executable | str, parameters: Parameters | None = None) -> AnyRow | None:
        """The first row."""
        return (await self.execute(statement, parameters)).first()

    async def fetch_all(self, statement: Executable | str, parameters: Parameters | None = None) -> Sequence[AnyRow]:
        return (await self.execute(statement, parameters)).all()

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        """What fails inside is taken back alone. What it appended to the outbox or audited is forgotten too."""
        events, entries = len(self._outbox), len(self.audit_entries)
        try:
            async with self.driver.transaction():
                yield
        except BaseException:
            del self._outbox[events:], self.audit_entries[entries:]
            raise

    def append_to_outbox(self, events: "Sequence[OutboxEvent]") -> None:
        """Queued: the feed takes its positions in the transaction's last statement."""
        self._outbox.extend(events)

    async def write_queued(self) -> None:
        """Audit head before feed_head: everybody locks in this order."""
        if self.audit_entries:
            await audit.write(self, self.audit_entries)
        if self._outbox:
            from libs.common.feed import outbox  # noqa: PLC0415 - the feed is built upon this module

            self.batches = await outbox.write(self, self._outbox)


class Database:
    """The slice's pool. `slice_name` is also its schema; the DSN is the slice role's."""

    def __init__(
        self,
        dsn: str,
        slice_name: str,
        pool_size: int = 5,
        statement_timeout_seconds: float = 10.0,
        lock_timeout_seconds: float = LOCK_TIMEOUT_SECONDS,
        transaction_timeout_seconds: float | None = None,
    ) -> None:
        """`transaction_timeout_seconds`: a transaction that writes is given up then, with its connection, though the
        server says nothing. Nobody knows whether its COMMIT was carried out.
        """
        self.slice_name = slice_name
        # Called after a commit that appended to the outbox, with what it appended.
        self.after_append: list[Callable[[Sequence[Batch]], None]] = []
        # Called after every commit that may have written; like all hooks they are quick and don't wait.
        self.after_commit: list[Callable[[], None]] = []
        # Called when a COMMIT failed: nobody knows whether it was carried out.
        self.commit_failed: list[Callable[[], None]] = []
        self._dsn = dsn
        self._transaction_timeout_seconds = transaction_timeout_seconds
        # In the order of arrival; the pool serves whoever asks at the right moment, and others wait for ever.
        self._turns = asyncio.Semaphore(pool_size)
        self._server_settings = {
            "application_name": f"quietus-{slice_name}",
            "search_path": slice_name,
            "timezone": "UTC",
            "jit": "off",
            "statement_timeout": _milliseconds(statement_timeout_seconds),
            "lock_timeout": _milliseconds(lock_timeout_seconds),
            "idle_in_transaction_session_timeout": _milliseconds(60.0),
        }
        self.engine: AsyncEngine = create_async_engine(
            driver_url(dsn),
            # BEGIN and COMMIT are ours, through the driver, so that the driver may be used directly as well.
            isolation_level="AUTOCOMMIT",
            # Has a connection for whoever has a turn, so nobody waits in it.
            pool_size=pool_size,
            max_overflow=0,
            pool_reset_on_return=None,
            connect_args={"timeout": CONNECT_TIMEOUT_SECONDS, "server_settings": self._server_settings},
            json_serializer=lambda value: orjson.dumps(value).decode(),
            json_deserializer=orjson.loads,
            hide_parameters=True,
        )
        event.listen(self.engine.sync_engine, "checkout", _refuse_closed)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """Commits at the end, or rolls back whatever is raised. Raises AppError for what the driver raises."""
        async with self._checkout() as (connection, driver):
            tx = Transaction(connection, driver, read_only=False)
            with self._bounded(driver):
                async with self._block(connection, driver.transaction()):
                    yield tx
                    await tx.write_queued()
            if tx.batches:
                _call(self.after_append, tx.batches)
            _call(self.after_commit)

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Transaction]:
        """One snapshot, read only. What it audits is committed before the result is anybody's."""
        async with self._checkout() as (connection, driver):
            tx = Transaction(connection, driver, read_only=True)
            async with self._block(connection, driver.transaction(isolation="repeatable_read", readonly=True)):
                yield tx
            if tx.audit_entries:
                async with self._block(connection, driver.transaction()):
                    await tx.write_queued()

    async def connect_directly(self) -> "asyncpg.Connection[Any]":
        """A connection beside the pool, for LISTEN and session locks. The caller closes it."""
        try:
            dsn = make_url(self._dsn).set(drivername="postgresql").render_as_string(hide_password=False)
            connection: asyncpg.Connection[Any] = await asyncpg.connect(
                dsn, timeout=CONNECT_TIMEOUT_SECONDS, server_settings=self._server_settings
            )
        except (*DRIVER_ERRORS, OSError) as error:
            raise to_app_error(error, connection_lost=True) from None
        return connection

    def beside(
        self,
        pool_size: int,
        lock_timeout_seconds: float = LOCK_TIMEOUT_SECONDS,
        transaction_timeout_seconds: float | None = None,
    ) -> "Database":
        """Connections for work that mustn't wait for this one's. What they commit is told to the same hooks."""
        other = Database(
            self._dsn,
            self.slice_name,
            pool_size,
            lock_timeout_seconds=lock_timeout_seconds,
            transaction_timeout_seconds=transaction_timeout_seconds,
        )
        other.after_append, other.after_commit = self.after_append, self.after_commit
        other.commit_failed = self.commit_failed
        return other

    async def close(self) -> None:
        await self.engine.dispose()

    @asynccontextmanager
    async def _checkout(self) -> "AsyncIterator[tuple[AsyncConnection, asyncpg.Connection[Any]]]":
        await self._take_turn()
        try:
            connection = self.engine.connect()
            try:
                await connection.start()
            except (*DRIVER_ERRORS, OSError) as error:
                raise to_app_error(error, connection_lost=True) from None
            driver: asyncpg.Connection[Any] | None = None
            try:
                driver = (await connection.get_raw_connection()).driver_connection
                assert driver is not None
                yield connection, driver
            except DRIVER_ERRORS as error:
                raise to_app_error(error, connection_lost=driver is None or driver.is_closed()) from None
            finally:
                await connection.close()
        finally:
            self._turns.release()

    async def _take_turn(self) -> None:
        if not self._turns.locked():
            await self._turns.acquire()  # at once
            return
        try:
            async with asyncio.timeout(POOL_TIMEOUT_SECONDS):
                await self._turns.acquire()
        except TimeoutError:
            raise database_busy() from None

    @contextmanager
    def _bounded(self, driver: "asyncpg.Connection[Any]") -> Iterator[None]:
        """The server's own timeouts don't help when it is stopped, or lost without a word."""
        if self._transaction_timeout_seconds is None:
            yield
            return
        timer = asyncio.get_running_loop().call_later(self._transaction_timeout_seconds, driver.terminate)
        try:
            yield
        finally:
            timer.cancel()

    @asynccontextmanager
    async def _block(
        self, connection: AsyncConnection, block: "asyncpg.transaction.Transaction"
    ) -> AsyncIterator[None]:
        try:
            await block.start()
        except BaseException:
            await connection.invalidate()
            raise
        try:
            yield
        except BaseException:
            await _roll_back(connection, block)
            raise
        try:
            await block.commit()
        except BaseException:
            _call(self.commit_failed)
            await connection.invalidate()
            raise


async def _roll_back(connection: AsyncConnection, block: "asyncpg.transaction.Transaction") -> None:
    """A connection that can't even do that is thrown away; what was raised first is what the caller sees."""
    try:
        await block.rollback()
    except (*DRIVER_ERRORS, OSError):
        await connection.invalidate()
    except asyncio.CancelledError:
        await connection.invalidate()
        raise


def _call(hooks: Sequence[Callable[..., None]], *arguments: object) -> None:
    """The transaction is over whatever a hook does: its failure must not look like the transaction's."""
    for hook in hooks:
        try:
            hook(*arguments)
        except Exception:
            _log.exception("commit_hook_failed")


def _refuse_closed(dbapi_connection: Any, record: object, proxy: object) -> None:
    """A restarted server closes what the pool holds; the driver knows it without asking."""
    if dbapi_connection.driver_connection.is_closed():
        raise DisconnectionError


@lru_cache(maxsize=512)
def _text(statement: str) -> TextClause:
    return text(statement)


def _milliseconds(seconds: float) -> str:
    return str(round(seconds * 1000))
