"""A damaged spool says so, keeps what is whole, and gives nothing else to be sent."""

import random
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from quietus.ingest.v1.predictions_pb2 import Prediction
from quietus_edge.errors import SpoolBrokenError
from quietus_edge.ids import uuid7
from quietus_edge.spool import Spool, Store
from tests.edge.make import NOW, record

MIB = 1024 * 1024
RECORDS = 200
PERSON = b"01890a5d-ac96-774b-bcce-b302099a8057"
SESSION = uuid7(NOW)

Given = dict[str, Prediction]


async def filled(path: Path) -> Given:
    """A spool with a person, a session and records, some of which are in batches; what was recorded, by chunk."""
    spool = Spool(path, MIB)
    await spool.open()
    made: list[Prediction] = []

    def fill(store: Store) -> None:
        store.set_fact("user_id", PERSON)
        key = store.open_session(SESSION, NOW)
        for second in range(RECORDS):
            predictions, until = record(second)
            store.append(key, predictions, until, danger=False)
            made.extend(predictions)
        for _ in range(5):
            store.fix_batch(key, 7)

    await spool.run(fill)
    await spool.close()
    return {one.chunk_id: one for one in made}


def everything(store: Store) -> Given:
    """All that a sender would send, by chunk; each once."""
    found: list[Prediction] = []
    for key in store.session_keys():
        session = store.session(key)
        assert session
        assert (session.session_id, session.start, session.skew) == (SESSION, NOW, None)
        batches = store.fixed_batches(key)
        while batch := store.fix_batch(key, 32):
            batches.append(batch)
        numbers = [batch.number for batch in batches]
        assert numbers == sorted(set(numbers))
        found += [prediction for batch in batches for prediction in batch.message.predictions]
    assert len({one.chunk_id for one in found}) == len(found)
    return {one.chunk_id: one for one in found}


async def given(path: Path) -> tuple[Given, Path | None]:
    """What an opened spool gives, and where a broken one went."""
    spool = Spool(path, MIB)
    await spool.open()
    try:
        return await spool.run(everything), spool.moved_aside
    finally:
        await spool.close()


def garbage(content: bytearray) -> None:
    content[:] = b"not a database at all, whatever its name" * 100


def last_third(content: bytearray) -> None:
    del content[len(content) * 2 // 3 :]


def three_pages(content: bytearray) -> None:
    content[40960:53248] = bytes(byte ^ 0xFF for byte in content[40960:53248])


def one_score(content: bytearray) -> None:
    """A bit of a prediction that SQLite has no way to miss."""
    place = content.index(b"face-1") - 10
    content[place] ^= 1


@pytest.mark.parametrize(
    ("damage", "least", "most"),
    [
        (garbage, 0, 0),
        (last_third, RECORDS // 10, RECORDS - 1),
        (three_pages, RECORDS // 3, RECORDS - 1),
        (one_score, RECORDS - 1, RECORDS - 1),
    ],
)
async def test_what_is_whole_is_kept(
    tmp_path: Path, damage: Callable[[bytearray], None], least: int, most: int
) -> None:
    path = tmp_path / "spool"
    expected = await filled(path)
    content = bytearray(path.read_bytes())
    damage(content)
    path.write_bytes(content)
    kept, moved_aside = await given(path)
    assert moved_aside
    assert moved_aside.read_bytes() == content
    assert least <= len(kept) <= most
    assert kept == {chunk: expected[chunk] for chunk in kept}
    assert await given(path) == (kept, None)


@pytest.mark.parametrize("seed", range(20))
async def test_nothing_else_is_given_whatever_is_damaged(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "spool"
    expected = await filled(path)
    rng = random.Random(seed)  # noqa: S311 - repeatable on purpose
    content = bytearray(path.read_bytes())
    for _ in range(rng.choice((1, 1, 5, 50))):
        content[rng.randrange(100, len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content[: rng.choice((len(content), rng.randrange(len(content))))])
    kept, moved_aside = await given(path)
    assert kept == {chunk: expected[chunk] for chunk in kept}
    assert moved_aside or len(kept) == RECORDS


async def test_a_statement_of_the_schema_that_says_something_else_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    expected = await filled(path)
    path.write_bytes(path.read_bytes().replace(b"SET checksum", b"SET checkrum"))
    kept, moved_aside = await given(path)
    assert moved_aside
    assert kept == expected


async def test_records_of_nobody_knows_whom_are_not_sent(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    await filled(path)
    content = bytearray(path.read_bytes())
    content[content.index(PERSON)] ^= 1
    path.write_bytes(content)
    kept, moved_aside = await given(path)
    assert moved_aside
    assert not kept


@pytest.mark.parametrize("moved", [False, True])
async def test_a_salvage_that_was_interrupted_is_done_again_or_ended(tmp_path: Path, moved: bool) -> None:
    path, done = tmp_path / "spool", tmp_path / "spool.salvaged"
    expected = await filled(path)
    if moved:
        path.rename(done)
    else:
        done.write_bytes(b"half of it")
        content = bytearray(path.read_bytes())
        one_score(content)
        path.write_bytes(content)
    kept, _ = await given(path)
    assert len(kept) >= RECORDS - 1
    assert kept.items() <= expected.items()
    assert not done.exists()


async def test_damage_of_an_open_spool_is_said_and_nothing_is_sent(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    await filled(path)
    spool = Spool(path, MIB)
    await spool.open()
    try:
        with sqlite3.connect(path) as other:
            [(trigger,)] = other.execute("SELECT sql FROM sqlite_schema WHERE name = 'records_changed'")
            other.execute("DROP TRIGGER records_changed")
            other.execute("UPDATE records SET content = zeroblob(8) WHERE record_key = 100")
            other.execute(trigger)
        other.close()
        with pytest.raises(SpoolBrokenError):
            await spool.run(everything)
    finally:
        await spool.close()
    kept, moved_aside = await given(path)
    assert moved_aside
    assert len(kept) == RECORDS - 1
