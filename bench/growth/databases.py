"""Two ingest processes on one server: one whose tables have grown, one whose tables are empty before each round."""

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import asyncpg
import grpc
from sqlalchemy import make_url

from bench.pipeline.suite import BenchSuite
from deploy.demo.suite import free_ports
from deploy.local.child import Child
from deploy.local.health import wait_until_serving
from deploy.local.supervisor import SERVICE_SECONDS, StartError
from libs.common.db.roles import dsn_for, slice_role
from libs.common.rpc.client import channel

INGEST = "ingest"
EMPTY = "ingest-empty"
CREATE_SECONDS = 120


@dataclass(frozen=True)
class Grown:
    """A database with the process that serves it. `dsn` is the administrator's."""

    name: str
    dsn: str
    port: int
    process_id: int
    channel: grpc.aio.Channel

    @asynccontextmanager
    async def connection(self) -> "AsyncIterator[asyncpg.Connection[Any]]":
        connection: asyncpg.Connection[Any] = await asyncpg.connect(self.dsn, command_timeout=None)
        try:
            yield connection
        finally:
            await connection.close()


@asynccontextmanager
async def two_databases(suite: BenchSuite) -> AsyncIterator[Sequence[Grown]]:
    """The suite's own, which is to grow, and one beside it. Nobody follows their feeds."""
    await suite.stop("fusion", "patterns", "alerts")
    plan = suite.supervisor.plan
    admin_dsn = suite.supervisor.admin_dsn
    dsn = await _make_database(admin_dsn)
    other = replace(plan, ports={**plan.ports, INGEST: free_ports()[INGEST]})
    environment = other.environment(INGEST, dsn_for(dsn, slice_role(INGEST)))
    command = (sys.executable, "-m", f"services.{INGEST}")
    child = Child(EMPTY, command, environment, run_dir=plan.run_dir, logs_dir=plan.logs_dir)
    await child.start()
    try:
        if not await wait_until_serving(other.address(INGEST), SERVICE_SECONDS):
            raise StartError(f"a second ingest does not serve: {child.last_words(1)}")
        async with channel(other.address(INGEST)) as to_other:
            yield (
                Grown(
                    "grown", admin_dsn, plan.ports[INGEST], _process(plan.run_dir, INGEST), suite.suite.channels[INGEST]
                ),
                Grown("empty", dsn, other.ports[INGEST], _process(plan.run_dir, EMPTY), to_other),
            )
    finally:
        await child.stop()


async def _make_database(admin_dsn: str) -> str:
    connection = await asyncpg.connect(admin_dsn)
    try:
        await connection.execute("CREATE DATABASE bench_empty", timeout=CREATE_SECONDS)
    finally:
        await connection.close()
    dsn = make_url(admin_dsn).set(database="bench_empty").render_as_string(hide_password=False)
    migrating = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "libs.common.db.migrate", "--dsn", dsn, "--slice", INGEST, "up"
    )
    if await migrating.wait():
        raise StartError("a second database could not be migrated; see above")
    return dsn


def _process(run_dir: Path, name: str) -> int:
    return int((run_dir / f"{name}.pid").read_text())
