"""The rounds of `bench growth`: both databases take turns, so that whatever else the machine does meets both."""

import asyncio
import random
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from statistics import median
from uuid import UUID

from bench.growth.databases import Grown, two_databases
from bench.growth.fill import TABLES, FilledSession, Template, add_predictions, add_sessions, spread
from bench.growth.reading import read_session
from bench.ingest.contenders import Contender, measure
from bench.load.plan import Plan
from bench.pipeline.load import Person
from bench.pipeline.suite import BenchSuite, DeviceToken, bench_suite, write_back
from deploy.local.plan import HOST

STREAMS = 64
BATCH_SIZE = 32
WINDOW = 8
# Each database goes first in half of them.
ROUNDS = 6
WARM_UP_SECONDS = 1.0
ROUND_SECONDS_MIN = 3.0
# Of a session that is read back, and of each that fills the tables: two hours and twenty minutes.
CHUNKS = 1667
READ_SESSIONS = 8
SESSIONS_AT_ONCE = 48
# Ingest keeps sessions of the last 90 days.
OLDEST, NEWEST = timedelta(days=89), timedelta(days=1)
BYTES_A_ROW = 700
SPARE_BYTES = 6 << 30
AT_LEAST = {"throughput_ratio": 0.9, "readback_ratio": 0.9}


@dataclass
class Results:
    """Figures of each round, by database."""

    rows: int = 0
    fill_seconds: float = 0.0
    table_bytes: int = 0
    per_second: dict[str, list[float]] = field(default_factory=dict)
    list_seconds: dict[str, list[float]] = field(default_factory=dict)
    export_seconds: dict[str, list[float]] = field(default_factory=dict)

    def figures(self) -> dict[str, float]:
        """A ratio is the median of the rounds' ratios; reading counts both ways together."""
        grown, empty = (
            [sum(both) for both in zip(self.list_seconds[name], self.export_seconds[name], strict=True)]
            for name in ("grown", "empty")
        )
        return {
            "rows": float(self.rows),
            "throughput_ratio": _ratio(self.per_second["grown"], self.per_second["empty"]),
            "readback_ratio": _ratio(empty, grown),
            "list_ratio": _ratio(self.list_seconds["empty"], self.list_seconds["grown"]),
            "export_ratio": _ratio(self.export_seconds["empty"], self.export_seconds["grown"]),
            "grown_per_second": median(self.per_second["grown"]),
            "empty_per_second": median(self.per_second["empty"]),
            "session_predictions": float(3 * CHUNKS),
            "grown_list_ms": median(self.list_seconds["grown"]) * 1000,
            "grown_export_ms": median(self.export_seconds["grown"]) * 1000,
            "empty_list_ms": median(self.list_seconds["empty"]) * 1000,
            "empty_export_ms": median(self.export_seconds["empty"]) * 1000,
            "fill_seconds": self.fill_seconds,
            "gigabytes": self.table_bytes / 1e9,
        }

    def rounds(self) -> list[tuple[str, ...]]:
        """As text: grown and empty, of what is written a second, listed and exported."""
        columns = [
            [f"{value * factor:,.0f}" for value in values[name]]
            for values, factor in ((self.per_second, 1), (self.list_seconds, 1000), (self.export_seconds, 1000))
            for name in ("grown", "empty")
        ]
        return [(str(number), *row) for number, row in enumerate(zip(*columns, strict=True), start=1)]


def _ratio(over: Sequence[float], under: Sequence[float]) -> float:
    return median(a / b for a, b in zip(over, under, strict=True))


async def run(rows: int, seconds: float, progress: Callable[[int, int], None]) -> Results:
    """`seconds` of saturation for each database, in rounds. `progress` hears how many rows of how many are there."""
    free = shutil.disk_usage(tempfile.gettempdir()).free
    if free < (needed := rows * BYTES_A_ROW + SPARE_BYTES):
        raise RuntimeError(f"{needed / 1e9:.0f} GB are needed, {free / 1e9:.0f} are free in {tempfile.gettempdir()}")
    async with bench_suite() as suite, two_databases(suite) as databases:
        people = await suite.make_people(STREAMS)
        bench = _Growth(suite, people, databases, max(seconds / ROUNDS, ROUND_SECONDS_MIN))
        await bench.fill(rows, progress)
        for number in range(ROUNDS):
            for database in databases if number % 2 else reversed(databases):
                await bench.measure(database)
        return bench.results


class _Growth:
    def __init__(
        self, suite: BenchSuite, people: Sequence[DeviceToken], databases: Sequence[Grown], round_seconds: float
    ) -> None:
        self._suite = suite
        self._people = people
        self._grown, self._empty = databases
        self._round_seconds = round_seconds
        self._templates: list[Template] = []
        self._filled: list[FilledSession] = []
        self._users: dict[str, UUID] = {}
        self._random = random.Random(1)
        self.results = Results()

    async def fill(self, rows: int, progress: Callable[[int, int], None]) -> None:
        """Ingest writes some rows of its own first: the others are made like those."""
        for database in (self._grown, self._empty):
            await self._ingest(database, ROUND_SECONDS_MIN)
        async with self._grown.connection() as connection:
            self._templates = [await Template.read(connection, table) for table in TABLES]
            self._users = dict(await connection.fetch("SELECT anonymous_id, user_id FROM ingest.users"))
        start = time.perf_counter()
        self._filled = self._sessions(max(rows // (3 * CHUNKS), READ_SESSIONS))
        await self._add(self._filled, progress)
        async with self._grown.connection() as connection:
            for table in TABLES:
                await connection.execute(f"VACUUM (ANALYZE) ingest.{table}")
        await self._check()
        self.results.fill_seconds = time.perf_counter() - start

    async def _add(self, sessions: Sequence[FilledSession], progress: Callable[[int, int], None]) -> None:
        """A table each at the same time, on connections of their own."""
        added, total = 0, 3 * CHUNKS * len(sessions)
        turn = asyncio.Semaphore(2)

        async def fill_table(template: Template, some: Sequence[FilledSession]) -> None:
            nonlocal added
            async with turn, self._grown.connection() as connection:
                count = await add_predictions(connection, template, some, CHUNKS)
                added += count
                progress(added, total)

        for first in range(0, len(sessions), SESSIONS_AT_ONCE):
            some = sessions[first : first + SESSIONS_AT_ONCE]
            async with self._grown.connection() as connection:
                await add_sessions(connection, some, CHUNKS)
            await asyncio.gather(*(fill_table(template, some) for template in self._templates))

    async def _check(self) -> None:
        """Nothing lies in DEFAULT, and all that was asked for is there."""
        async with self._grown.connection() as connection:
            for table in TABLES:
                if late := await connection.fetchval(f"SELECT count(*) FROM ingest.{table}_default"):  # noqa: S608
                    raise RuntimeError(f"{late} rows of {table} have no partition")
                self.results.rows += await connection.fetchval(f"SELECT count(*) FROM ingest.{table}")  # noqa: S608
            self.results.table_bytes = await connection.fetchval("SELECT pg_database_size(current_database())")

    def _sessions(self, count: int) -> list[FilledSession]:
        now = datetime.now(UTC)
        users = [self._users[person.anonymous_id] for person in self._people]
        return spread(users, count, now - OLDEST, now - NEWEST)

    async def measure(self, database: Grown) -> None:
        """A round: writes, then reads sessions that nobody has read before."""
        self._people = await self._suite.renewed(self._people)
        tokens = {self._users[person.anonymous_id]: person.token for person in self._people}
        if database is self._empty:
            to_read = await self._empty_tables()
        else:
            to_read = self._random.sample(self._filled, READ_SESSIONS)
        await self._write_back()
        rate = await self._ingest(database, self._round_seconds)
        await self._write_back()
        listed, exported = 0.0, 0.0
        for session in to_read:
            seconds = await read_session(database.channel, session.session_id, tokens[session.user_id], CHUNKS)
            listed, exported = listed + seconds[0], exported + seconds[1]
        self.results.per_second.setdefault(database.name, []).append(rate)
        self.results.list_seconds.setdefault(database.name, []).append(listed / len(to_read))
        self.results.export_seconds.setdefault(database.name, []).append(exported / len(to_read))

    async def _empty_tables(self) -> Sequence[FilledSession]:
        """Empties them, but for the sessions that are read back."""
        sessions = self._sessions(READ_SESSIONS)
        async with self._empty.connection() as connection:
            await connection.execute("TRUNCATE ingest.sessions CASCADE")
            await add_sessions(connection, sessions, CHUNKS)
            for template in self._templates:
                await add_predictions(connection, template, sessions, CHUNKS)
        return sessions

    async def _write_back(self) -> None:
        await write_back(self._grown.dsn)  # it is the server's, not the database's

    async def _ingest(self, database: Grown, seconds: float) -> float:
        """Predictions a second, into new sessions."""
        started: Sequence[Person] = await self._suite.start_sessions(self._people, database.channel)
        plan = Plan(
            host=HOST,
            port=0,
            sessions=[(person.session_id, person.token) for person in started],
            batch_size=BATCH_SIZE,
            window=WINDOW,
            warm_up_seconds=WARM_UP_SECONDS,
            seconds=seconds,
        )
        measured = await measure(Contender(database.name, database.port, database.process_id), plan)
        return measured.predictions_per_second
