"""A spool that lost its newest commits says so, and goes on as another sender."""

import shutil
from pathlib import Path

import pytest

from quietus_edge.status import Problem
from tests.edge.fake_suite import running_suite
from tests.edge.make import PATIENCE_SECONDS, client, next_report, vision
from tests.edge.test_spool import append, new_session, spool_at

RECORDS = 50


def copied(spool: Path, to: Path, log_share: float) -> Path:
    """An open spool's files as a crash may leave them: of its log a part."""
    to.mkdir()
    for name in ("spool", "spool.mark"):
        shutil.copy(spool.with_name(name), to / name)
    log = spool.with_name("spool-wal").read_bytes()
    (to / "spool-wal").write_bytes(log[: int(len(log) * log_share)])
    return to / "spool"


async def is_older(path: Path) -> bool:
    async with spool_at(path) as spool:
        return spool.is_older


@pytest.mark.parametrize("log_share", [0, 0.5])
async def test_a_log_that_was_cut_is_noticed_once(tmp_path: Path, log_share: float) -> None:
    async with spool_at(tmp_path / "spool") as spool:
        key = await new_session(spool)
        for second in range(RECORDS):
            await append(spool, key, second)
        path = copied(tmp_path / "spool", tmp_path / "cut", log_share)
        whole = copied(tmp_path / "spool", tmp_path / "whole", 1)
    async with spool_at(path) as cut:
        assert cut.is_older
        assert cut.totals.waiting_predictions < RECORDS
        assert cut.totals.count("gone_back") == 1
    assert not await is_older(path)
    assert not await is_older(whole)


async def test_a_spool_that_was_taken_away_or_has_no_mark_is_not_older(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    for name in ("spool", "spool.mark"):
        async with spool_at(path) as spool:
            await append(spool, await new_session(spool))
        (tmp_path / name).unlink()
        assert not await is_older(path)


@pytest.mark.parametrize("content", [b"", b"short", b"\xff" * 12])
async def test_a_mark_that_cant_be_read_tells_nothing(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "spool"
    async with spool_at(path) as spool:
        await append(spool, await new_session(spool))
    path.with_name("spool.mark").write_bytes(content)
    assert not await is_older(path)


async def test_what_was_broken_is_said_to_be_broken_alone(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    async with spool_at(path) as spool:
        await append(spool, await new_session(spool))
    path.write_bytes(b"not a database" * 1_000)
    async with spool_at(path) as renewed:
        assert renewed.moved_aside
        assert not renewed.is_older
    assert not await is_older(path)


async def test_the_app_hears_of_it_and_batches_are_numbered_anew(tmp_path: Path) -> None:
    path, older = tmp_path / "spool", tmp_path / "older"
    on_problem, problems = next_report()
    async with running_suite() as suite:
        async with client(suite, path) as edge:
            first_sender = await edge.fact("sender_id")
        shutil.copy(path, older)
        async with client(suite, path) as edge:
            async with edge.session() as session:
                await session.record(vision=vision())
            await edge.flush(PATIENCE_SECONDS)
        shutil.copy(older, path)
        async with client(suite, path, on_problem=on_problem) as edge:
            problem: Problem = await problems.get()
            assert problem.reason == "SPOOL_WENT_BACK"
            assert edge.status().spool_went_back == 1
            assert await edge.fact("sender_id") != first_sender
            async with edge.session() as session:
                await session.record(vision=vision())
            await edge.flush(PATIENCE_SECONDS)
        assert suite.stored
