"""What the tests of fusion share."""

from collections.abc import AsyncIterator

import pytest
from hypothesis import settings

from libs.common.db.database import Database
from libs.common.db.roles import dsn_for, slice_role
from services.fusion.fold import Models
from services.fusion.models import SHIPPED
from services.fusion.service.registry import load_models
from tests.conftest import MakeDatabase
from tests.fusion.endpoint import Endpoint, running_endpoint
from tests.fusion.road import Road, following
from tests.ingest.suite import running
from tests.support import postgres

# A property that is slow on a busy machine is still true.
settings.register_profile("fusion", deadline=None, max_examples=50)
settings.load_profile("fusion")


@pytest.fixture
def database(make_database: MakeDatabase) -> Database:
    return make_database("fusion")


@pytest.fixture
async def second_database(postgres_admin_dsn: str, template_database: str) -> AsyncIterator[Database]:
    """For what has to come out the same twice."""
    dsn = await postgres.create_database(postgres_admin_dsn, template_database)
    database = Database(dsn_for(dsn, slice_role("fusion")), "fusion", 3)
    yield database
    await database.close()
    await postgres.drop_database(postgres_admin_dsn, dsn)


@pytest.fixture
async def road(make_database: MakeDatabase, database: Database, models: Models) -> AsyncIterator[Road]:
    async with running(make_database("ingest")) as ingest, following(ingest, database, models) as road:
        yield road


@pytest.fixture
async def models(database: Database) -> Models:
    return await load_models(database, SHIPPED)


@pytest.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    async with running_endpoint() as running:
        yield running
