"""Whose turn it is to have a connection."""

import asyncio

import pytest

from libs.common.db import database as database_module
from libs.common.rpc.errors import AppError
from tests.common.db.test_database import add_someone, count
from tests.conftest import MakeDatabase


async def test_who_comes_first_is_served_first(make_database: MakeDatabase) -> None:
    database = make_database("alerts", pool_size=3)
    taken = 0
    all_are_busy = asyncio.Event()

    async def greedy() -> None:
        nonlocal taken
        while True:
            async with database.transaction() as tx:
                await tx.scalar("SELECT pg_advisory_xact_lock(1)")
                await tx.scalar("SELECT pg_sleep(0.0005)")
            taken += 1
            if taken == len(many):
                all_are_busy.set()

    many = [asyncio.create_task(greedy()) for _ in range(4)]
    try:
        await all_are_busy.wait()
        before = taken
        async with database.transaction():
            assert taken - before < 10 * len(many)  # a starved one saw hundreds
    finally:
        for task in many:
            task.cancel()
        await asyncio.gather(*many, return_exceptions=True)


async def test_who_waits_no_longer_is_in_nobodys_way(
    make_database: MakeDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = make_database("alerts", pool_size=1)
    async with database.transaction():
        cancelled = asyncio.create_task(add_someone(database))
        await asyncio.sleep(0)
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        with monkeypatch.context() as patch:
            patch.setattr(database_module, "POOL_TIMEOUT_SECONDS", 0.01)
            with pytest.raises(AppError):
                await add_someone(database)
    await add_someone(database)
    assert await count(database) == 1
