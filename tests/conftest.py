"""Fixtures that every test may ask for."""

from collections.abc import AsyncIterator, Iterator
from typing import Protocol

import pytest

from libs.common.db.database import Database
from libs.common.db.roles import dsn_for, slice_role
from tests.support import postgres


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files whose few tests take long begin first, so that no worker is left with one of them at the end."""
    items.sort(key=lambda item: "/e2e/" not in item.nodeid)


class MakeDatabase(Protocol):
    """Opens the test's database as a slice's service does."""

    def __call__(self, slice_name: str, pool_size: int = 3) -> Database: ...


@pytest.fixture(scope="session", autouse=True)
def grpc_engine() -> None:
    """Outlives the tests: it would end with its last channel, and wait for a call that a fault has left half open."""
    from grpc.aio import init_grpc_aio  # noqa: PLC0415 - after libs.common, which sets its switches

    init_grpc_aio()


@pytest.fixture(scope="session")
def postgres_admin_dsn() -> Iterator[str]:
    """The administrator's, of an empty server that lives as long as the test process."""
    with postgres.running_server() as dsn:
        yield dsn


@pytest.fixture(scope="session")
def template_database(postgres_admin_dsn: str) -> str:
    """The name of a database with every slice's tables."""
    postgres.make_template(postgres_admin_dsn)
    return postgres.TEMPLATE


@pytest.fixture
async def fresh_dsn(postgres_admin_dsn: str, template_database: str) -> AsyncIterator[str]:
    """The administrator's, in a database of the test's own that has every slice's tables."""
    dsn = await postgres.create_database(postgres_admin_dsn, template_database)
    yield dsn
    await postgres.drop_database(postgres_admin_dsn, dsn)


@pytest.fixture
async def make_database(fresh_dsn: str) -> AsyncIterator[MakeDatabase]:
    """All that one test makes are slices of one database."""
    made: list[Database] = []

    def make(slice_name: str, pool_size: int = 3) -> Database:
        made.append(Database(dsn_for(fresh_dsn, slice_role(slice_name)), slice_name, pool_size))
        return made[-1]

    yield make
    for database in made:
        await database.close()
