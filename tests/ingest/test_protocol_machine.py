"""Any sequence of what clients do comes out as the model says. QUIETUS_TEST_PROTOCOL_EXAMPLES=5000 looks longer."""

import asyncio
import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.errors import Flaky
from hypothesis.stateful import run_state_machine_as_test

from tests.ingest.broken_builds import BREAKS, Break
from tests.ingest.protocol_client import Server
from tests.ingest.protocol_machine import ProtocolMachine
from tests.support import postgres

EXAMPLES = int(os.environ.get("QUIETUS_TEST_PROTOCOL_EXAMPLES", "12"))
# The first that fails is the last.
ENOUGH = 200


@pytest.fixture(params=[True])
def machine(
    request: pytest.FixtureRequest, postgres_admin_dsn: str, template_database: str
) -> Iterator[type[ProtocolMachine]]:
    """The parameter says whether sessions take predictions after their end."""
    with asyncio.Runner() as loop:
        dsn = loop.run(postgres.create_database(postgres_admin_dsn, template_database))
        running = loop.run(_started(dsn, grace=request.param))

        class Machine(ProtocolMachine):
            server = running
            runner = loop

        yield Machine
        loop.run(running.stop())
        loop.run(running.database.close())
        loop.run(postgres.drop_database(postgres_admin_dsn, dsn))


async def _started(dsn: str, *, grace: bool) -> Server:
    server = Server(dsn, grace)
    await server.start()
    return server


@pytest.mark.parametrize("machine", [True, False], ids=["with grace", "without grace"], indirect=True)
def test_the_protocol_is_what_the_model_says(machine: type[ProtocolMachine]) -> None:
    run_state_machine_as_test(machine, settings=_settings(EXAMPLES))


@pytest.mark.parametrize("break_it", BREAKS)
def test_it_fails_when_ingest_is_broken(
    machine: type[ProtocolMachine], break_it: Break, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_it(monkeypatch)
    # What depends on timing may not fail again when Hypothesis looks twice.
    with pytest.raises((AssertionError, Flaky)):
        run_state_machine_as_test(machine, settings=settings(_settings(ENOUGH), phases=[Phase.generate]))


def _settings(examples: int) -> settings:
    return settings(
        max_examples=examples,
        stateful_step_count=20,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
