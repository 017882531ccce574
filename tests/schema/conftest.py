"""The documents, where they are at hand, and a database to compare them with."""

import warnings
from collections.abc import AsyncIterator

import asyncpg
import pytest

from deploy.schema.__main__ import seeds_folder
from deploy.schema.seeds import Table, read_seeds


@pytest.fixture(scope="session")
def seeds() -> list[Table]:
    """Skips, and says so in the summary, where the documents aren't."""
    try:
        return read_seeds(seeds_folder())
    except FileNotFoundError as error:
        reason = f"the schema is NOT compared with the seed documents: {error}; QUIETUS_SEEDS names their folder"
        warnings.warn(reason, stacklevel=1)
        pytest.skip(reason)


@pytest.fixture
async def connection(fresh_dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """The administrator's, to a database that every slice's migrations made."""
    opened = await asyncpg.connect(fresh_dsn)
    yield opened
    await opened.close()
