"""A process that is killed at the worst moment leaves nothing behind that counts twice, or not at all."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from tests.common.feed.slices import PEOPLE, Ledger, Slices, Token, event, folded


async def killed(role: str, failpoint: str, dsn: str, tmp_path: Path, *arguments: str) -> None:
    """Runs `crashing.py` until the failpoint kills it."""
    log = tmp_path / "failpoints"
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.common.feed.crashing",
        role,
        dsn,
        *arguments,
        env={**os.environ, "QUIETUS_FAILPOINTS": f"{failpoint}=kill@2", "QUIETUS_FAILPOINTS_LOG": str(log)},
    )
    assert await asyncio.wait_for(process.wait(), timeout=30) == -signal.SIGKILL
    assert log.read_text() == f"{failpoint}\n"


@pytest.mark.parametrize("failpoint", ["follower.before_commit", "follower.after_commit"])
async def test_a_killed_follower_goes_on_where_it_was(slices: Slices, dsn: str, tmp_path: Path, failpoint: str) -> None:
    for value in range(10):
        await slices.tell(*(event(person, value) for person in PEOPLE))
    async with slices.serving() as at:
        [(_, authorization)] = await Token(at).metadata()
        await killed("follow", failpoint, dsn, tmp_path, at.address, str(authorization))
        async with slices.following(at, Ledger()):
            await slices.until_applied()
    assert await slices.ledger() == {person: folded(range(10)) for person in PEOPLE}


async def test_what_a_killed_writer_committed_is_told(slices: Slices, dsn: str, tmp_path: Path) -> None:
    async with slices.serving() as at, slices.following(at, Ledger()):
        await killed("tell", "feed.after_commit_before_publish", dsn, tmp_path)
        await slices.until_applied()
    assert await slices.ledger() == {PEOPLE[0]: folded([0, 1])}
