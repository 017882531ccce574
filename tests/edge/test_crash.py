import asyncio
import sys
from pathlib import Path

import pytest

from tests.edge.fake_suite import FakeSuite
from tests.edge.make import PATIENCE_SECONDS, client, environment

APP = """
import asyncio, sys
from tests.edge.fake_suite import FakeSuite
from tests.edge.make import audio, client, vision

async def main():
    suite = FakeSuite()
    suite.address = sys.argv[1]
    async with client(suite, sys.argv[2]) as edge, edge.session() as session:
        while True:
            chunk = await session.record(vision=vision(), audio=audio())
            print(chunk.chunk_id, flush=True)

asyncio.run(main())
"""


async def record_until_killed(suite: FakeSuite, spool: Path, chunks: int) -> list[str]:
    """Runs an app and kills it by SIGKILL after that many chunks; every chunk that record() had returned by then."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", APP, suite.address, spool, stdout=asyncio.subprocess.PIPE, env=environment()
    )
    assert process.stdout
    lines = [await process.stdout.readline() for _ in range(chunks)]
    process.kill()
    lines += [line async for line in process.stdout]
    await process.wait()
    return [line.decode().strip() for line in lines if line.endswith(b"\n")]


@pytest.mark.parametrize("acknowledging", [True, False])
async def test_an_app_killed_between_record_and_acknowledgement_loses_and_doubles_nothing(
    suite: FakeSuite, tmp_path: Path, acknowledging: bool
) -> None:
    promised: list[str] = []
    for chunks in (1, 30, 70):
        if not acknowledging:
            suite.acknowledge.clear()
        promised += await record_until_killed(suite, tmp_path / "spool", chunks)
        suite.acknowledge.set()
    async with client(suite, tmp_path / "spool") as edge:
        await edge.flush(PATIENCE_SECONDS)
        assert edge.status().waiting_predictions == 0
    stored = {chunk for _, chunk, _ in suite.stored}
    assert set(promised) <= stored
    # at most the one chunk that was being recorded at each of the three kills
    assert len(stored) <= len(promised) + 3
    assert set(suite.stored.values()) == {1}
    assert len(suite.stored) == 2 * len(stored)
    assert len(suite.ended) == 3
    for batches in suite.batches.values():
        bounds: dict[int, list[str]] = {}
        for number, chunks_of_batch in batches:
            assert bounds.setdefault(number, chunks_of_batch) == chunks_of_batch
        assert sorted(bounds) == list(range(1, len(bounds) + 1))
