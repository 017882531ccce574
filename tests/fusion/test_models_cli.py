"""`python -m services.fusion models` and `empty`, on a real database."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from libs.common.db.database import Database
from libs.common.db.roles import dsn_for, slice_role
from services.fusion.fold import Models
from services.fusion.models import SHIPPED
from services.fusion.models_cli import LARGEST_MODEL_BYTES, run_models
from services.fusion.service.emptying import run_empty
from services.fusion.settings import FusionSettings
from tests.fusion import versions
from tests.fusion.events import apply, committed, table
from tests.fusion.make import batch, chunk, predictions, said

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def settings(fresh_dsn: str) -> FusionSettings:
    return FusionSettings(database_url=dsn_for(fresh_dsn, slice_role("fusion")))


async def models_command(settings: FusionSettings, *arguments: str) -> int:
    return await asyncio.to_thread(run_models, settings, arguments)


async def answer(settings: FusionSettings, capsys: Capture, *arguments: str) -> Any:
    assert await models_command(settings, *arguments, "--json") == 0
    return json.loads(capsys.readouterr().out)


async def test_from_a_file_to_the_version_in_force(
    settings: FusionSettings, database: Database, models: Models, tmp_path: Path, capsys: Capture
) -> None:
    await apply(database, models, [committed(batch(1, *predictions(chunk(1, text=said(0.9, 1.0)))))])
    file = tmp_path / "eager-1.json"
    enter, leave = {"medium": 0.001, "high": 0.002, "critical": 0.9}, {"medium": 0.0005, "high": 0.001, "critical": 0.8}
    file.write_text(json.dumps(versions.document("eager-1", session__enter=enter, session__leave=leave)))
    registered = await answer(settings, capsys, "register", str(file))
    compared = await answer(settings, capsys, "compare", "eager-1", "--checksum", registered["checksum"])
    assert (compared["sessions"], compared["chunks"], compared["newly_alerting_sessions"]) == (1, 1, 1)
    assert sum(compared["chunk_levels"][level]["high"] for level in ("low", "medium")) == 1
    switched = await answer(
        settings, capsys, "switch", "eager-1", "--checksum", registered["checksum"], "--replaces", SHIPPED
    )
    assert switched["number"] == 2
    listed = await answer(settings, capsys, "list")
    assert [one["version"] for one in listed["versions"] if one["in_force"]] == ["eager-1"]
    actions = [row["action"] for row in sorted(await table(database, "audit_logs"), key=lambda row: row["id"])]
    assert actions == ["model.register", "model.compare", "model.switch"]


@pytest.mark.parametrize("action", [("list",), ("compare", SHIPPED)])
async def test_people_read_tables(settings: FusionSettings, action: tuple[str, ...], capsys: Capture) -> None:
    assert await models_command(settings, *action) == 0
    assert ("critical" if action[0] == "compare" else f"* {SHIPPED}") in capsys.readouterr().out


async def test_what_fails_says_why_in_one_line(settings: FusionSettings, tmp_path: Path, capsys: Capture) -> None:
    forged = tmp_path / "forged.json"
    forged.write_text(json.dumps({**versions.document("calm-1"), "checksum": "0" * 64}))
    rubbish = tmp_path / "rubbish.json"
    rubbish.write_text("no model")
    large = tmp_path / "large.json"
    large.write_text(json.dumps(" " * LARGEST_MODEL_BYTES))
    for arguments, problem in (
        (("compare", "of-nobody"), "MODEL_NOT_FOUND"),
        (("register", str(forged)), "MODEL_UNUSABLE"),
        (("register", str(rubbish)), "MODEL_NOT_JSON"),
        (("register", str(large)), "MODEL_TOO_LARGE"),
        (("register", str(tmp_path / "absent.json")), "No such file"),
        (("switch", SHIPPED, "--checksum", "0" * 64, "--replaces", SHIPPED), "MODEL_CHECKSUM_MISMATCH"),
    ):
        assert await models_command(settings, *arguments) == 1
        shown = capsys.readouterr().err
        assert problem in shown
        assert shown.count("\n") == 1


async def test_emptying_tells_a_new_feed(database: Database, models: Models, fresh_dsn: str) -> None:
    await apply(database, models, [committed(batch(1, *predictions(chunk(1, text=said(0.3)))))])
    (before,) = await table(database, "feed_identity")
    assert await asyncio.to_thread(run_empty, ["--dsn", fresh_dsn]) == 0
    (after,) = await table(database, "feed_identity")
    assert after["feed_id"] != before["feed_id"]
    assert [row["position"] for row in await table(database, "feed_head")] == [0]
    assert await table(database, "outbox") == []
    assert len(await table(database, "model_switches")) == 1
    assert "slice.empty" in {row["action"] for row in await table(database, "audit_logs")}
