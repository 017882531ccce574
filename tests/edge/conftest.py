"""A service and a spool for each test that asks for them."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.edge.fake_suite import FakeSuite, running_suite


@pytest.fixture
async def suite() -> AsyncIterator[FakeSuite]:
    async with running_suite() as started:
        yield started


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    return tmp_path / "spool"
