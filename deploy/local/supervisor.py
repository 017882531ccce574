"""Starts Postgres, migrates, bootstraps, starts every service, and keeps all of them running until SIGTERM."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from pathlib import Path

from deploy.local.child import Child
from deploy.local.health import wait_until_serving
from deploy.local.plan import NICENESS, SERVICES, Plan
from libs.common.db.roles import dsn_for, slice_role

POSTGRES_SECONDS = 60.0
SERVICE_SECONDS = 60.0
POLL_SECONDS = 0.05


class StartError(Exception):
    """Something did not start; the message is one clear line that says what to do."""


class Supervisor:
    """One suite. `start` returns when everything serves; `stop` ends all of it in the reverse order."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.children: list[Child] = []
        self.admin_dsn = ""

    async def start(self) -> None:
        for folder in (self.plan.run_dir, self.plan.logs_dir):
            folder.mkdir(parents=True, exist_ok=True)
        self.admin_dsn = await self._start_postgres()
        await self._run_once("migrate", "-m", "libs.common.db.migrate", "--dsn", self.admin_dsn, "up")
        await self._run_once("bootstrap", "-m", "services.identity", "bootstrap")
        await self._start_service("identity")
        await asyncio.gather(*(self._start_service(service) for service in SERVICES if service != "identity"))

    async def stop(self) -> None:
        postgres, services = self.children[:1], self.children[1:]
        await asyncio.gather(*(child.stop() for child in services))
        for child in postgres:
            await child.stop()

    def _child(self, name: str, *arguments: str, environment: dict[str, str]) -> Child:
        child = Child(
            name,
            (sys.executable, *arguments),
            environment,
            run_dir=self.plan.run_dir,
            logs_dir=self.plan.logs_dir,
            niceness=NICENESS.get(name, 0),
        )
        self.children.append(child)
        return child

    async def _start_postgres(self) -> str:
        child = self._child(
            "postgres", "-m", "libs.common.db.embedded", str(self.plan.postgres_dir), environment=dict(os.environ)
        )
        await child.start()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(POSTGRES_SECONDS):
                while child.running and not _dsn_in(child.output()):
                    await asyncio.sleep(POLL_SECONDS)
        if dsn := _dsn_in(child.output()):
            return dsn
        raise StartError(f"Postgres did not start in {self.plan.postgres_dir}: {child.last_words(1)}")

    async def _run_once(self, name: str, *arguments: str) -> None:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *arguments,
            env=self._environment("identity"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        (self.plan.logs_dir / f"{name}.log").write_bytes(output)
        if process.returncode != 0:
            last_line = output.decode(errors="replace").strip().splitlines()[-1:]
            raise StartError(f"{name} failed: {' '.join(last_line)} (see {self.plan.logs_dir / name}.log)")

    async def _start_service(self, service: str) -> None:
        child = self._child(service, "-m", f"services.{service}", environment=self._environment(service))
        await child.start()
        if not await wait_until_serving(self.plan.address(service), SERVICE_SECONDS):
            raise StartError(
                f"{service} does not serve: {child.last_words(1)} (see {self.plan.logs_dir / service}.log)"
            )

    def _environment(self, service: str) -> dict[str, str]:
        return self.plan.environment(service, dsn_for(self.admin_dsn, slice_role(service)))


def _dsn_in(output: str) -> str:
    return next((json.loads(line)["dsn"] for line in output.splitlines() if line.startswith('{"dsn"')), "")


async def supervise(plan: Plan, ready_file: Path) -> int:
    """Runs the suite until SIGTERM or SIGINT; writes how the start went to `ready_file`. Returns the exit code."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    supervisor = Supervisor(plan)
    starting = asyncio.create_task(supervisor.start())
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
    error = "stopped while starting"
    if starting.done():
        problem = starting.exception()
        if problem is not None and not isinstance(problem, StartError | OSError):
            _tell(ready_file, f"{type(problem).__name__}; see the logs", supervisor.admin_dsn)
            await supervisor.stop()
            raise problem
        error = str(problem) if problem else ""
    _tell(ready_file, error, supervisor.admin_dsn)
    if not error:
        await stopping
    starting.cancel()
    await asyncio.gather(starting, return_exceptions=True)
    await supervisor.stop()
    return 1 if error else 0


def _tell(ready_file: Path, error: str, dsn: str) -> None:
    """Whole at once: whoever waits for the file reads it as soon as it is there."""
    partial = ready_file.with_suffix(".partial")
    partial.write_text(json.dumps({"error": error, "dsn": dsn}))
    partial.replace(ready_file)
