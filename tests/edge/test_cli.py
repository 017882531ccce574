import asyncio
import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from quietus_edge.errors import InvalidInputError
from quietus_edge.replay import check_file, read_lines, written
from quietus_edge.simulation import generate
from tests.edge.fake_suite import API_KEY, FakeSuite
from tests.edge.make import PATIENCE_SECONDS, environment

COMMAND = Path(sys.executable).with_name("quietus-edge")
VISION = {"emotion": "sad", "confidence": 0.8, "distress_score": 0.4, "model_version": "face-1"}


class CommandLine:
    """Runs quietus-edge against a suite, with a key file and a spool of its own."""

    def __init__(self, suite: FakeSuite, folder: Path) -> None:
        self.folder = folder
        self.variables = environment() | {
            "QUIETUS_EDGE_ADDRESS": suite.address,
            "QUIETUS_EDGE_IDENTITY_ADDRESS": suite.address,
            "QUIETUS_EDGE_API_KEY_FILE": str(folder / "device.key"),
            "XDG_STATE_HOME": str(folder / "state"),
        }
        (folder / "device.key").write_text(f"{API_KEY}\n")

    async def start(self, *arguments: object) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            COMMAND,
            *map(str, arguments),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=self.variables,
        )

    async def run(self, *arguments: object) -> tuple[int, str, str]:
        process = await self.start(*arguments)
        out, err = await process.communicate()
        assert process.returncode is not None
        return process.returncode, out.decode(), err.decode()

    def file(self, *lines: dict[str, Any]) -> Path:
        path = self.folder / "chunks.jsonl"
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        return path


@pytest.fixture
def command_line(suite: FakeSuite, tmp_path: Path) -> CommandLine:
    return CommandLine(suite, tmp_path)


def times(minute: int) -> dict[str, str]:
    start = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=2) + timedelta(minutes=minute)
    return {"start": start.isoformat(), "end": (start + timedelta(seconds=5)).isoformat()}


async def test_a_file_is_replayed_session_by_session_and_only_once(suite: FakeSuite, command_line: CommandLine) -> None:
    file = command_line.file(
        {"session": "a", **times(0), "vision": VISION},
        {"session": "a", **times(1), "vision": VISION, "text": {
            "risk_level": "low", "distress_probability": 0.1, "confidence": 0.9, "model_version": "text-1",
            "cues": {"language": "en"}, "transcript": "It rained."}},
        {"session": "b", **times(2), "audio": {
            "emotion": "sad", "stress_score": 0.2, "confidence": 0.5, "model_version": "voice-1",
            "features": {"pitch_mean": 180}}},
    )  # fmt: skip
    status, out, err = await command_line.run("replay", file, "--json")
    assert (status, json.loads(out)["acknowledged"]) == (0, 4), err
    assert len(suite.started) == len(suite.ended) == 2
    assert len(suite.stored) == 4
    status, out, _ = await command_line.run("replay", file, "--json")
    assert (status, json.loads(out)["acknowledged"]) == (0, 4)
    assert len(suite.stored) == 4


async def test_a_replay_that_was_killed_goes_on_where_it_was(suite: FakeSuite, command_line: CommandLine) -> None:
    chunks = 300
    file = command_line.file(*({**times(0), "vision": VISION | {"frames_processed": n}} for n in range(chunks)))
    first_batch = asyncio.Event()
    suite.refuse = lambda _: first_batch.set()
    process = await command_line.start("replay", file)
    await asyncio.wait_for(first_batch.wait(), PATIENCE_SECONDS)
    process.kill()
    await process.communicate()
    status, out, err = await command_line.run("replay", file, "--json")
    assert status == 0, err
    assert json.loads(out)["waiting_predictions"] == 0
    frames = sorted(one.vision.frames_processed for one in suite.predictions)
    assert frames == list(range(chunks))


async def test_a_person_is_simulated(suite: FakeSuite, command_line: CommandLine) -> None:
    arguments = ("simulate", "--persona", "masking", "--weeks", 1, "--sessions", 3, "--chunks", 4, "--json")
    status, out, err = await command_line.run(*arguments)
    assert (status, json.loads(out)["acknowledged"]) == (0, 36), err
    assert len(suite.ended) == 3


async def test_what_simulate_writes_replay_reads(command_line: CommandLine) -> None:
    path = command_line.folder / "person.jsonl"
    status, _, err = await command_line.run("simulate", "--sessions", 2, "--chunks", 3, "--output", path)
    assert status == 0, err
    assert check_file(path).lines == 6


def test_a_line_reads_back_as_it_was_written(tmp_path: Path) -> None:
    (session,) = generate("crisis", 1, datetime(2025, 3, 1, tzinfo=UTC), weeks=1, sessions_per_week=1)
    path = tmp_path / "file"
    path.write_text("\n\n".join(written("s", one.chunk, one.vision, one.audio, one.text) for one in session.chunks))
    for line, one in zip(read_lines(path), session.chunks, strict=True):
        assert line.chunk
        assert (line.chunk.start, line.chunk.end) == (one.chunk.start, one.chunk.end)
        assert (line.vision, line.audio) == (one.vision, one.audio)
        assert line.text
        assert line.text.transcript == one.text.transcript


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("not json", "line 2: "),
        ("[]", "line 2: a line is one JSON object"),
        ("{}", "line 2: a record needs vision, audio or text"),
        ('{"video": {}}', "line 2: unknown field video"),
        ('{"start": "2025-03-01T00:00:00Z", "vision": {}}', "line 2: start and end come together"),
        ('{"start": "x", "end": "y", "vision": {}}', "line 2: "),
        ('{"vision": {"emotion": "sad"}}', "line 2: .*missing"),
        ('{"vision": {"emotion": "sad", "smile": 1}}', "line 2: .*smile"),
        ('{"vision": 7}', "line 2: .*JSON objects"),
        (json.dumps({"vision": VISION | {"confidence": 7}}), r"line 2: vision\.confidence is above 1"),
        (json.dumps({"vision": VISION | {"confidence": "high"}}), "line 2: "),
        (json.dumps({"vision": VISION | {"frames_processed": -1}}), "line 2: "),
    ],
)
def test_a_bad_line_is_named_before_anything_is_recorded(tmp_path: Path, line: str, why: str) -> None:
    path = tmp_path / "file"
    path.write_text(json.dumps({"vision": VISION}) + "\n" + line + "\n")
    with pytest.raises(InvalidInputError, match=why):
        check_file(path)


async def test_status_tells_what_waits_and_who_answers(suite: FakeSuite, command_line: CommandLine) -> None:
    file = command_line.file({"vision": VISION})
    assert (await command_line.run("replay", file))[0] == 0
    status, out, _ = await command_line.run("status", "--json")
    shown = json.loads(out)
    assert (status, shown["acknowledged"], shown["waiting_predictions"]) == (0, 1, 0)
    assert (shown["identity"], shown["ingest"]) == ("OK", "OK")
    await suite.stop()
    status, out, _ = await command_line.run("status", "--offline")
    assert status == 0
    assert "acknowledged" in out


async def test_without_a_service_what_was_recorded_waits(suite: FakeSuite, command_line: CommandLine) -> None:
    await suite.stop()
    file = command_line.file({"vision": VISION})
    status, _, err = await command_line.run("replay", file, "--timeout", 0.5)
    assert status == 1
    assert "1 predictions of 1 sessions wait in the spool" in err
    await suite.start()
    assert (await command_line.run("replay", file))[0] == 0
    assert len(suite.stored) == 1


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("replay", "no-such-file"), 1, "No such file"),
        (("status", "--spool", "no-such-spool"), 1, "there is no spool"),
        (("status", "--api-key-file", "no-such-key"), 1, "No such file"),
        (("simulate", "--sessions", "0"), 2, "a positive number"),
        (("simulate", "--persona", "stoic"), 2, "invalid choice"),
        (("dance",), 2, "invalid choice"),
        ((), 2, "required"),
    ],
)
async def test_wrong_usage_gets_one_clear_line(
    command_line: CommandLine, arguments: tuple[str, ...], status: int, said: str
) -> None:
    code, _, err = await command_line.run(*arguments)
    assert (code, "Traceback" in err) == (status, False)
    assert said in err.replace("\n", " ")


async def test_a_wrong_key_is_said_and_never_shown(command_line: CommandLine) -> None:
    (command_line.folder / "device.key").write_text("a revoked secret")
    status, out, err = await command_line.run("replay", command_line.file({"vision": VISION}))
    assert status == 1
    assert "BAD_CREDENTIALS" in err
    assert "a revoked secret" not in out + err
