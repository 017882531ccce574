"""Whoever asks, what comes in is fused."""

import asyncio

import pytest

from libs.common.db.database import Database
from libs.common.db.roles import dsn_for, slice_role
from libs.common.observability.metrics import Metrics
from services.fusion import app
from services.fusion.settings import FusionSettings
from tests.conftest import MakeDatabase
from tests.fusion.road import Road, Token
from tests.ingest.suite import running

NOBODY = "127.0.0.1:1"


async def test_what_comes_in_is_fused_while_questions_hold_every_connection(
    make_database: MakeDatabase, database: Database, fresh_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Credentials(Token):
        async def close(self) -> None:
            """Nothing is open."""

    asked = Database(dsn_for(fresh_dsn, slice_role("fusion")), "fusion", 1)
    monkeypatch.setattr(app, "open_database", lambda _: asked)
    monkeypatch.setattr(app, "ServiceToken", lambda *_: Credentials())
    async with running(make_database("ingest")) as ingest:
        settings = FusionSettings(ingest_address=ingest.address, identity_address=NOBODY, alerts_address=NOBODY)
        fusion = await app.compose(settings, Metrics("fusion"))
        async with asked.read():
            background = [asyncio.ensure_future(work()) for work in fusion.background]
            await ingest.person().start_session()
            await Road(ingest, database).followed()
        for work in background:
            work.cancel()
        await asyncio.gather(*background, return_exceptions=True)
        await fusion.close()
