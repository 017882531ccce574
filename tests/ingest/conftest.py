"""An ingest service for each test that asks for one."""

from collections.abc import AsyncIterator

import pytest

from tests.conftest import MakeDatabase
from tests.ingest.suite import Suite, running


@pytest.fixture
async def suite(make_database: MakeDatabase) -> AsyncIterator[Suite]:
    async with running(make_database("ingest")) as suite:
        yield suite
