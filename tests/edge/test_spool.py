import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any

import pytest

from quietus_edge.errors import EdgeError, InvalidInputError, SessionEndedError, SpoolFullError, SpoolLockedError
from quietus_edge.ids import uuid7
from quietus_edge.spool import Batch, Spool
from quietus_edge.spool.store import DROPPED_NEWEST, DROPPED_OLDEST, ROW_OVERHEAD_BYTES
from tests.edge.make import NOW, audio, danger, environment, record, text

MIB = 1024 * 1024


@asynccontextmanager
async def spool_at(path: Path, max_bytes: int = MIB) -> AsyncIterator[Spool]:
    spool = Spool(path, max_bytes)
    await spool.open()
    try:
        yield spool
    finally:
        await spool.close()


async def new_session(spool: Spool) -> int:
    return await spool.run(lambda store: store.open_session(uuid7(NOW), NOW))


async def append(spool: Spool, key: int, seconds: float = 0, *, dangerous: bool = False, **modalities: Any) -> None:
    predictions, until = record(seconds, **modalities)
    await spool.run(lambda store: store.append(key, predictions, until, danger=dangerous))


async def fill(spool: Spool, key: int, **how: Any) -> int:
    """Records until the spool refuses one; how many it took."""
    taken = 0
    while True:
        try:
            await append(spool, key, taken, **how)
        except SpoolFullError:
            return taken
        taken += 1


async def fixed(spool: Spool, key: int) -> list[Batch]:
    return await spool.run(lambda store: store.fixed_batches(key))


async def test_a_records_modalities_stay_in_one_batch(tmp_path: Path) -> None:
    async with spool_at(tmp_path / "spool") as spool:
        key = await new_session(spool)
        for seconds in (0, 5, 10):
            await append(spool, key, seconds, audio=audio(), text=text())
        batch = await spool.run(lambda store: store.fix_batch(key, 8))
        assert batch
        assert (batch.number, batch.size) == (1, 6)
        assert [one.WhichOneof("modality") for one in batch.message.predictions] == ["vision", "audio", "text"] * 2
        only = await spool.run(lambda store: store.fix_batch(key, 1))
        assert only
        assert (only.number, only.size) == (2, 3)
        assert await spool.run(lambda store: store.fix_batch(key, 8)) is None


async def test_numbers_and_bounds_survive_and_go_on(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    async with spool_at(path) as spool:
        key = await new_session(spool)
        for seconds in range(4):
            await append(spool, key, seconds)
        await spool.run(lambda store: store.fix_batch(key, 3))
        before = await fixed(spool, key)
    async with spool_at(path) as spool:
        assert await fixed(spool, key) == before
        await append(spool, key, 9)
        following = await spool.run(lambda store: store.fix_batch(key, 3))
        assert following
        assert (following.number, following.size) == (2, 2)


async def test_acknowledged_batches_go_and_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    async with spool_at(path) as spool:
        key = await new_session(spool)
        for seconds in range(6):
            await append(spool, key, seconds)
        for _ in range(3):
            await spool.run(lambda store: store.fix_batch(key, 2))
        await spool.run(lambda store: store.acknowledge(key, 2, 1, {"CONFLICT": 1}))
        assert [batch.number for batch in await fixed(spool, key)] == [3]
        assert spool.totals.waiting_predictions == 2
    async with spool_at(path) as spool:
        totals = spool.totals
        assert (totals.count("acknowledged"), totals.count("duplicates")) == (3, 1)
        assert totals.reasons("refused") == {"CONFLICT": 1}
        await spool.run(lambda store: store.acknowledge(key, 3, 0, {}))
        await spool.run(lambda store: store.end_session(key, NOW))
        await spool.run(lambda store: store.forget_session(key))
        assert (spool.totals.waiting_predictions, spool.totals.waiting_sessions, spool.totals.used_bytes) == (0, 0, 0)
        assert await spool.run(lambda store: store.is_drained())


async def test_a_corrected_clock_shifts_what_is_sent_and_keeps_what_was_measured(tmp_path: Path) -> None:
    async with spool_at(tmp_path / "spool") as spool:
        key = await new_session(spool)
        await append(spool, key)
        corrected, skew = uuid7(NOW), timedelta(days=-400, microseconds=7)
        await spool.run(lambda store: store.correct_clock(key, corrected, skew))
        session = await spool.run(lambda store: store.session(key))
        assert session
        assert (session.session_id, session.start, session.skew) == (corrected, NOW, skew)
        batch = await spool.run(lambda store: store.fix_batch(key, 8))
        assert batch
        assert batch.message.predictions[0].capture_start_time.ToDatetime(tzinfo=UTC) == NOW + skew
        assert await fixed(spool, key) == [batch]


async def test_an_ended_session_takes_nothing_and_never_ends_before_its_last_capture(tmp_path: Path) -> None:
    async with spool_at(tmp_path / "spool") as spool:
        key = await new_session(spool)
        await append(spool, key, 60)
        await spool.run(lambda store: store.end_session(key, NOW))
        session = await spool.run(lambda store: store.session(key))
        assert session
        assert session.end == NOW + timedelta(seconds=65)
        with pytest.raises(SessionEndedError):
            await append(spool, key)
        with pytest.raises(SessionEndedError):
            await append(spool, key + 1)


async def test_an_id_is_taken_once(tmp_path: Path) -> None:
    async with spool_at(tmp_path / "spool") as spool:
        session_id = uuid7(NOW)
        await spool.run(lambda store: store.open_session(session_id, NOW))
        with pytest.raises(InvalidInputError):
            await spool.run(lambda store: store.open_session(session_id, NOW))


async def test_a_full_spool_drops_the_oldest_that_points_to_no_danger_and_says_so(tmp_path: Path) -> None:
    size = len(record()[0][0].SerializeToString()) + 3 + ROW_OVERHEAD_BYTES
    async with spool_at(tmp_path / "spool", ROW_OVERHEAD_BYTES + 4 * size) as spool:
        key = await new_session(spool)
        await append(spool, key, 0)
        await spool.run(lambda store: store.fix_batch(key, 1))
        await append(spool, key, 1, dangerous=True)
        await append(spool, key, 2)
        await append(spool, key, 3)
        assert spool.totals.reasons("dropped") == {}
        await append(spool, key, 4)
        assert spool.totals.reasons("dropped") == {DROPPED_OLDEST: 1}
        left = await spool.run(lambda store: store.fix_batch(key, 100))
        assert left
        starts = [one.capture_start_time.ToDatetime(tzinfo=UTC) - NOW for one in left.message.predictions]
        assert starts == [timedelta(seconds=seconds) for seconds in (1, 3, 4)]


async def test_what_can_go_nowhere_is_refused_aloud(tmp_path: Path) -> None:
    async with spool_at(tmp_path / "spool", 2000) as spool:
        key = await new_session(spool)
        taken = await fill(spool, key, text=danger(), dangerous=True)
        assert spool.totals.waiting_predictions == 2 * taken > 0
        assert spool.totals.used_bytes <= 2000
        assert spool.totals.reasons("dropped") == {DROPPED_NEWEST: 2}


async def test_a_session_that_can_never_be_sent_is_counted_as_dropped(tmp_path: Path) -> None:
    async with spool_at(tmp_path / "spool") as spool:
        key = await new_session(spool)
        await append(spool, key, audio=audio())
        await spool.run(lambda store: store.forget_session(key, "SESSION_EXPIRED"))
        assert spool.totals.reasons("dropped") == {"SESSION_EXPIRED": 2}
        assert (spool.totals.waiting_predictions, spool.totals.used_bytes) == (0, 0)


async def test_sessions_are_listed_as_they_were_lived(tmp_path: Path) -> None:
    async with spool_at(tmp_path / "spool") as spool:
        keys = [
            await spool.run(lambda store, start=NOW + timedelta(days=day): store.open_session(uuid7(start), start))
            for day in (1, 3, 2)
        ]
        assert await spool.run(lambda store: store.session_keys()) == [keys[0], keys[2], keys[1]]


async def test_one_process_at_a_time(tmp_path: Path) -> None:
    async with spool_at(tmp_path / "spool"):
        with pytest.raises(SpoolLockedError):
            await Spool(tmp_path / "spool", MIB).open()
    async with spool_at(tmp_path / "spool"):
        pass


async def test_a_file_of_another_version_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    async with spool_at(path):
        pass
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(EdgeError, match="another version"):
        await Spool(path, MIB).open()
    assert [one.name for one in files_in(tmp_path) if "broken" in one.name] == []


async def test_a_place_that_cannot_be_written_gets_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EdgeError, match="can't be opened"):
        await Spool(tmp_path / "file" / "spool", MIB).open()


async def test_only_its_owner_reads_the_file(tmp_path: Path) -> None:
    async with spool_at(tmp_path / "spool") as spool:
        await append(spool, await new_session(spool))
        modes = {one.name: one.stat().st_mode & 0o777 for one in files_in(tmp_path) if ".lock" not in one.name}
        assert modes == dict.fromkeys(("spool", "spool-wal", "spool-shm", "spool.mark"), 0o600)


async def test_a_full_disk_is_said_and_nothing_before_it_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    async with spool_at(path, 100 * MIB) as spool:
        key = await new_session(spool)
        await spool.run(lambda store: store._db.execute("PRAGMA max_page_count = 20"))
        taken = await fill(spool, key)
        assert spool.totals.waiting_predictions == taken > 0
        await spool.run(lambda store: store._db.execute("PRAGMA max_page_count = 1000000"))
        await append(spool, key)
        assert spool.totals.waiting_predictions == taken + 1


def files_in(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


KILLED_WHILE_RECORDING = """
import asyncio, sys
from pathlib import Path
from quietus_edge.ids import uuid7
from quietus_edge.spool import Spool
from tests.edge.make import NOW, record

async def main():
    spool = Spool(Path(sys.argv[1]), 1 << 24)
    await spool.open()
    key = await spool.run(lambda store: store.open_session(uuid7(NOW), NOW))
    number = 0
    while True:
        predictions, until = record(number)
        await spool.run(lambda store: store.append(key, predictions, until, danger=False))
        number += 1
        print(number, flush=True)
        if number % 5 == 0:
            await spool.run(lambda store: store.fix_batch(key, 3))

asyncio.run(main())
"""


def run_until_killed(command: list[str], lines: int) -> int:
    """Kills the process after that many lines, by SIGKILL; how many whole lines it wrote in all."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment()) as process:
        assert process.stdout
        written = [process.stdout.readline() for _ in range(lines)]
        process.kill()
        written += process.stdout.readlines()
    return sum(line.endswith("\n") for line in written)


@pytest.mark.parametrize("lines", [1, 40, 111])
async def test_what_was_promised_survives_a_kill(tmp_path: Path, lines: int) -> None:
    path = tmp_path / "spool"
    command = [sys.executable, "-c", KILLED_WHILE_RECORDING, str(path)]
    count = await asyncio.to_thread(run_until_killed, command, lines)
    async with spool_at(path) as spool:
        assert spool.moved_aside is None
        # the one that was being written when the kill came may be there too
        assert spool.totals.waiting_predictions in {count, count + 1}
        batches = await fixed(spool, 1)
        assert [batch.number for batch in batches] == list(range(1, len(batches) + 1))
        assert all(batch.size == 3 for batch in batches)
        assert count // 5 - 1 <= len(batches) <= (count + 1) // 5
