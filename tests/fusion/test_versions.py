"""Model files on the real database: what is refused, and two versions in one session."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from libs.common.db.database import Database
from libs.common.rpc.errors import AppError, ErrorKind
from services.fusion import models as shipped_models
from services.fusion.models import SHIPPED, read_document
from services.fusion.science.inputs import ChunkInputs
from services.fusion.science.model import parse_model
from services.fusion.service.registry import load_models
from services.fusion.vocabulary import Emotion
from tests.fusion.events import apply, committed, everything, table, told
from tests.fusion.make import batch, chunk, predictions, said, shown
from tests.fusion.models_folder import candidate, put
from tests.fusion.versions import switch

SAD = tuple(float(emotion is Emotion.SAD) for emotion in Emotion)
# Another prior and other weights, a longer look at dissonance, and words that are positive a little later.
CHANGES = {
    "distress.prior": 0.2,
    "distress.weights": {"vision": 0.6, "audio": 0.3, "text": 0.5},
    "dissonance.window_chunks": 12,
    "dissonance.persistent_chunks": 9,
    "dissonance.said_positive": 0.55,
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where model files are looked for."""
    put(tmp_path, read_document(SHIPPED))
    monkeypatch.setattr(shipped_models, "_FOLDER", tmp_path)
    return tmp_path


async def refused(database: Database, version: str) -> None:
    with pytest.raises(AppError) as error:
        await load_models(database, version)
    assert (error.value.kind, error.value.reason) == (ErrorKind.FAILED_PRECONDITION, "MODEL_UNUSABLE")


def wrong_checksum(document: dict[str, Any]) -> None:
    document["checksum"] = "0" * 64


def another_number(document: dict[str, Any]) -> None:
    document["session"]["enter"]["high"] = 0.56


def no_checksum(document: dict[str, Any]) -> None:
    del document["checksum"]


@pytest.mark.parametrize("damage", [wrong_checksum, another_number, no_checksum])
async def test_a_file_whose_checksum_is_wrong_starts_nothing(database: Database, folder: Path, damage: Any) -> None:
    document = candidate("fusion-x", CHANGES)
    damage(document)
    await refused(database, put(folder, document))
    assert await table(database, "model_versions") == []


@pytest.mark.parametrize("content", ["", "{", '{"version": "fusion-x"}', "[]", '"fusion-x"'])
async def test_a_file_that_is_no_model_starts_nothing(database: Database, folder: Path, content: str) -> None:
    (folder / "fusion-x.json").write_text(content)
    await refused(database, "fusion-x")


async def test_a_file_that_lacks_starts_nothing(database: Database, folder: Path) -> None:
    await refused(database, "fusion-x")


async def test_a_file_of_another_version_starts_nothing(database: Database, folder: Path) -> None:
    (folder / "fusion-y.json").write_text(json.dumps(candidate("fusion-x", CHANGES)))
    await refused(database, "fusion-y")


async def test_other_content_under_a_used_version_starts_nothing(database: Database, folder: Path) -> None:
    await load_models(database, SHIPPED)
    await refused(database, put(folder, candidate(SHIPPED, CHANGES)))


async def test_a_stored_version_that_was_changed_starts_nothing(database: Database, folder: Path) -> None:
    await load_models(database, SHIPPED)
    async with database.transaction() as tx:
        await tx.execute("UPDATE model_versions SET document = jsonb_set(document, '{distress,prior}', '0.3')")
    await refused(database, SHIPPED)


def masking(number: int) -> ChunkInputs:
    face = shown(Emotion.SAD, 0.3 + 0.05 * (number % 9), distribution=SAD)
    return chunk(number, face, face if number % 3 else None, said(0.1, valence=0.6 if number % 2 else 0.5))


async def test_two_versions_in_one_session_each_speak_for_their_own_results(
    database: Database, second_database: Database, folder: Path
) -> None:
    """An older version's chunks are moved by a late one: they keep its rules, and grouping still changes nothing."""
    version = put(folder, candidate("fusion-x", CHANGES))
    both = await load_models(database, SHIPPED)
    assert both.versions.keys() == {SHIPPED, version}
    await load_models(second_database, SHIPPED)
    other = parse_model(read_document(version))
    now = datetime.now(UTC) + timedelta(days=1)
    before = [committed(batch(n, *predictions(masking(n)))) for n in range(2, 12)]
    numbers = [(n, n) for n in range(12, 26)] + [(26, 0), (27, 1)]
    later = [replace(batch(n, *predictions(masking(place))), receive_time=now) for n, place in numbers]
    await apply(database, both, before)
    await switch(database, other)
    await apply(database, both, *([committed(one)] for one in later))
    await apply(second_database, both, *([event] for event in before))
    await switch(second_database, other)
    await apply(second_database, both, [committed(one) for one in later])
    assert await everything(second_database) == await everything(database)
    assert await told(second_database) == await told(database)

    rows = sorted(await table(database, "fusion_results"), key=lambda row: row["capture_end_time"])
    assert [row["model_version"] for row in rows] == [version] * 2 + [SHIPPED] * 10 + [version] * 14
    for row in rows:
        model = both.versions[row["model_version"]]
        assert row["text_weight"] == model.distress.weights["text"]
    records = {row["chunk_id"]: row for row in await table(database, "dissonance_records")}
    assert {
        (row["model_version"], records[row["chunk_id"]]["stated_emotion"]) for row in rows if row["chunk_id"] in records
    } == {(SHIPPED, "happy"), (version, "happy")}
