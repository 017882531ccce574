"""A suite with people in it, made once through public RPCs and stopped: every run starts from a copy of its folder."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType

from deploy.demo.people import Person, make_counselor, make_person
from deploy.demo.suite import connected
from deploy.local.plan import SERVICES, Plan
from deploy.local.supervisor import Supervisor
from tests.e2e.ports import free_ports
from tests.e2e.scenario import PERSONAS, PlannedSession, planned
from tests.e2e.suite import Suite

FIRST_SESSIONS = 2


@dataclass(frozen=True)
class Snapshot:
    """`work` says what each person's device sends. A folder is copied with the owners of its files."""

    folder: Path
    counselor: Person
    work: Mapping[Person, Sequence[PlannedSession]]

    @property
    def people(self) -> list[str]:
        """Anonymous ids."""
        return [person.anonymous_id for person in self.work]

    def first_sessions(self) -> Mapping[Person, Sequence[PlannedSession]]:
        """A part of the work."""
        return {person: sessions[:FIRST_SESSIONS] for person, sessions in self.work.items()}

    @asynccontextmanager
    async def running(
        self,
        name: str,
        services: Collection[str] = SERVICES,
        modules: Mapping[str, str] | None = None,
        settings: Mapping[str, str] = MappingProxyType({}),
    ) -> AsyncIterator[Suite]:
        """A suite that runs upon a copy of the folder."""
        copy = self.folder.with_name(name)
        copying = await asyncio.create_subprocess_exec("cp", "-a", f"{self.folder}/.", copy)
        assert await copying.wait() == 0
        suite = Suite(copy, services, modules, settings)
        try:
            await suite.start()
            yield suite
        except BaseException:
            print(suite.last_words())  # noqa: T201 - pytest shows it when the test failed
            raise
        finally:
            await suite.stop()


async def make_snapshot(folder: Path) -> Snapshot:
    """By the real launcher."""
    plan = Plan(folder, free_ports())
    supervisor = Supervisor(plan)
    try:
        await supervisor.start()
        async with connected(plan) as suite:
            counselor = await make_counselor(suite)
            people = await asyncio.gather(*(make_person(suite, persona, counselor) for persona in PERSONAS))
    finally:
        await supervisor.stop()
    for left in (plan.run_dir, plan.logs_dir):
        shutil.rmtree(left)
    end_time = datetime.now(UTC).replace(microsecond=0)
    return Snapshot(folder, counselor, {person: planned(person.name, end_time) for person in people})
