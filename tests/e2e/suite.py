"""A suite whose processes a test starts, kills and restarts one by one, in a folder of its own."""

import asyncio
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import MappingProxyType

import asyncpg

from deploy.local.child import Child
from deploy.local.health import wait_until_serving
from deploy.local.plan import SERVICES, Plan
from libs.common.db.embedded import EmbeddedPostgres
from libs.common.db.roles import dsn_for, slice_role
from tests.e2e.polling import eventually, until
from tests.e2e.ports import free_ports

POSTGRES = "postgres"
START_SECONDS = 60.0
# What follows what on the road.
FOLLOWED = (
    ("fusion", "ingest"),
    ("patterns", "ingest"),
    ("patterns", "fusion"),
    ("alerts", "fusion"),
    ("alerts", "patterns"),
)
_LAG = """
SELECT count(*) FROM {source}.feed_head AS head LEFT JOIN {follower}.feed_cursors AS cursor
ON cursor.source = '{source}' AND cursor.partition = head.partition
WHERE cursor.position IS DISTINCT FROM head.position
"""


class Suite:
    """Services in `services` run; `modules` names another program for some of them, with its arguments.

    The folder was migrated before.
    """

    def __init__(
        self,
        folder: Path,
        services: Collection[str] = SERVICES,
        modules: Mapping[str, str] | None = None,
        settings: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.plan = Plan(folder, free_ports(), {"QUIETUS_LOG_LEVEL": "warning", **settings})
        self.services = services
        self.failpoints_log = folder / "failpoints.log"
        self._modules = modules or {}
        self._postgres = EmbeddedPostgres(self.plan.postgres_dir)
        self._children: dict[str, Child] = {}
        self._killed = Counter[str]()

    @property
    def dsn(self) -> str:
        """The administrator's."""
        return self._postgres.dsn

    async def start(self) -> None:
        for part in (self.plan.run_dir, self.plan.logs_dir):
            part.mkdir(exist_ok=True)
        await self._start(
            POSTGRES, "libs.common.db.embedded", str(self.plan.postgres_dir), environment=dict(os.environ)
        )
        await eventually(self.database_silent, "Postgres takes connections", START_SECONDS)
        for service in self.services:
            module = self._modules.get(service, f"services.{service}")
            await self._start(service, *module.split(), environment=self._environment(service))
        await asyncio.gather(*(self.serves(service) for service in self.services))

    async def stop(self) -> None:
        services = [child for name, child in self._children.items() if name != POSTGRES]
        await asyncio.gather(*(child.stop() for child in services))
        if POSTGRES in self._children:
            await self._children[POSTGRES].stop()

    async def command(self, service: str, *arguments: str) -> tuple[int, str]:
        """`python -m services.<service> ARGUMENTS`: its exit code, and what it said."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            f"services.{service}",
            *arguments,
            env=self._environment(service),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        assert process.returncode is not None
        return process.returncode, output.decode()

    async def serves(self, service: str) -> None:
        ready = await wait_until_serving(self.plan.address(service), START_SECONDS)
        assert ready, f"{service} does not serve: {self._children[service].last_words()}"

    def kill(self, victim: str) -> None:
        process_id = self.process_id(victim)
        assert process_id, f"{victim} doesn't run"
        os.kill(process_id, signal.SIGKILL)

    async def comes_back(self, victim: str, killed: int) -> None:
        """`killed` is the id of the process that was killed."""
        self._killed[victim] += 1
        await until(lambda: self.process_id(victim) not in {killed, None}, f"{victim} is started again", START_SECONDS)
        if victim == POSTGRES:
            await eventually(self.database_silent, "Postgres takes connections", START_SECONDS)
        else:
            await self.serves(victim)

    @asynccontextmanager
    async def without(self, service: str) -> AsyncIterator[None]:
        """The service is stopped meanwhile."""
        await self._children[service].stop()
        yield
        await self._children[service].start()
        await self.serves(service)

    def died_of_their_own(self) -> dict[str, int]:
        """Services that ended without being killed, and how often."""
        times = {name: child.restarts - self._killed[name] for name, child in self._children.items()}
        return {name: count for name, count in times.items() if name != POSTGRES and count}

    def process_id(self, victim: str) -> int | None:
        """Of the newest process; None while it is being written down."""
        file = self.plan.run_dir / f"{victim}.pid"
        if victim == POSTGRES:
            file = self._postgres.cluster / "postmaster.pid"
        first_line = file.read_text().partition("\n")[0] if file.exists() else ""
        return int(first_line) if first_line else None

    def supervisor_id(self) -> int:
        """Of the process that keeps Postgres running."""
        return int((self.plan.run_dir / f"{POSTGRES}.pid").read_text())

    def hits(self) -> list[str]:
        """The failpoints that have killed a process, in order."""
        return self.failpoints_log.read_text().split() if self.failpoints_log.exists() else []

    def arm(self, service: str, failpoint: str, hit: int) -> None:
        """The running process kills itself at a hit of the failpoint, counted from now."""
        unready = self._armed(service).with_suffix(".unready")
        unready.write_text(f"{failpoint}=kill@{hit}")
        unready.replace(self._armed(service))

    def last_words(self, lines: int = 12) -> str:
        """The ends of all logs, for whoever reads why a test failed."""
        return "\n".join(
            f"--- {file.name}\n" + "\n".join(file.read_text(errors="replace").splitlines()[-lines:])
            for file in sorted(self.plan.logs_dir.glob("*.log"))
        )

    async def settled(self) -> None:
        """Returns when every service on the road has applied everything that the others have told."""
        pairs = [(one, other) for one, other in FOLLOWED if one in self.services]
        if not pairs:
            return
        questions = [
            f"SELECT '{follower} follows {source}' AS what, ({_LAG.format(source=source, follower=follower)}) AS n"
            for follower, source in pairs
        ]
        followers = dict.fromkeys(follower for follower, _ in pairs)
        questions += [f"SELECT '{one} parked', count(*) FROM {one}.parked_events" for one in followers]  # noqa: S608
        if "patterns" in followers:
            questions.append("SELECT 'patterns waits', count(*) FROM patterns.waiting_fused")
        statement = f"SELECT what FROM ({' UNION ALL '.join(questions)}) AS lag WHERE n > 0"  # noqa: S608
        connection = await asyncpg.connect(self.dsn)

        async def lagging() -> str:
            return ", ".join(record["what"] for record in await connection.fetch(statement))

        try:
            await eventually(lagging, "everything is applied", START_SECONDS)
        finally:
            await connection.close()

    async def _start(self, name: str, module: str, *arguments: str, environment: dict[str, str]) -> None:
        command = (sys.executable, "-m", module, *arguments)
        child = Child(name, command, environment, run_dir=self.plan.run_dir, logs_dir=self.plan.logs_dir)
        self._children[name] = child
        await child.start()

    def _environment(self, service: str) -> dict[str, str]:
        return self.plan.environment(service, dsn_for(self.dsn, slice_role(service))) | {
            "QUIETUS_FAILPOINTS": f"@{self._armed(service)}",
            "QUIETUS_FAILPOINTS_LOG": str(self.failpoints_log),
        }

    async def database_silent(self) -> str:
        """Why nobody can connect; empty when one can."""
        try:
            await (await asyncpg.connect(self.dsn, timeout=5)).close()
        except (OSError, asyncpg.PostgresError, TimeoutError) as error:
            return type(error).__name__
        return ""

    def _armed(self, service: str) -> Path:
        return self.plan.state_dir / f"{service}.failpoint"
