"""What `up` and `down` take for the suite's own, when a supervisor was killed and when ids were given away anew."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local import __main__ as local
from deploy.local.plan import Plan

Processes = list["subprocess.Popen[bytes]"]


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    plan = Plan(tmp_path)
    plan.run_dir.mkdir()
    return plan


@pytest.fixture
def processes() -> Iterator[Processes]:
    started: Processes = []
    yield started
    for process in started:
        process.kill()
        process.wait()


def pretend(plan: Plan, name: str, processes: Processes, *arguments: str) -> None:
    """A process that runs under this name's id."""
    command = [sys.executable, "-c", "import sys; sys.stdin.read()", *arguments]
    processes.append(subprocess.Popen(command, stdin=subprocess.PIPE))
    (plan.run_dir / f"{name}.pid").write_text(str(processes[-1].pid))


def test_what_a_killed_supervisor_left_behind_is_said_and_ended(
    plan: Plan, processes: Processes, capsys: pytest.CaptureFixture[str]
) -> None:
    (plan.run_dir / "supervisor.pid").write_text("999999999")
    pretend(plan, "fusion", processes, "-m", "services.fusion")
    pretend(plan, "postgres", processes, "-m", "libs.common.db.embedded")
    assert local.up(plan, as_json=False) == 1
    assert "fusion, postgres still run without their supervisor" in capsys.readouterr().err
    assert local.down(plan) == 0
    assert all(process.poll() is not None for process in processes)
    assert not list(plan.run_dir.glob("*.pid"))
    assert local.down(plan) == 0
    assert capsys.readouterr().out.splitlines() == ["stopped", "nothing runs"]


def test_an_id_that_belongs_to_another_program_by_now_is_let_alone(
    plan: Plan, processes: Processes, capsys: pytest.CaptureFixture[str]
) -> None:
    pretend(plan, "supervisor", processes)
    (plan.run_dir / "ingest.pid").write_text("")  # the disk was full
    assert local.down(plan) == 0
    assert capsys.readouterr().out == "nothing runs\n"
    assert processes[0].poll() is None


@pytest.mark.parametrize(
    ("variable", "value"), [("QUIETUS_STATE_DIR", "/proc/nothing"), ("QUIETUS_INGEST_PORT", "99999")]
)
def test_a_setting_that_can_not_be_taken_is_one_line(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(variable, value)
    assert local.main(["up"]) == 1
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert (value if variable == "QUIETUS_STATE_DIR" else variable) in line
