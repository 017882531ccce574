"""A change that breaks the released contracts doesn't pass; tried on a copy of them."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.contracts import ROOT

PREDICTIONS = "protos/quietus/ingest/v1/predictions.proto"
DISTRESS_FIELD = r"  // Distress, \[0, 1\].*?\n  double distress_score = 3 \[.*?\];\n"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """All that the check reads, in a folder of the test's own."""
    shutil.copytree(ROOT / "protos", tmp_path / "protos", ignore=shutil.ignore_patterns("build", "__pycache__"))
    (tmp_path / "deploy").mkdir()
    for name in ("buf.yaml", "deploy/contracts.py"):
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def test_contracts_pass_as_they_are(copy: Path) -> None:
    assert run("check", copy) == (0, "")


@pytest.mark.parametrize(
    ("pattern", "replacement", "complaint"),
    [
        (DISTRESS_FIELD, "", 'Previously present field "3" with name "distress_score"'),
        (r"double distress_score = 3", "string distress_score = 3", 'Field "3" with name "distress_score"'),
    ],
    ids=["field removed", "type changed"],
)
def test_break_is_seen_even_with_fresh_stubs(copy: Path, pattern: str, replacement: str, complaint: str) -> None:
    proto = copy / PREDICTIONS
    changed, count = re.subn(pattern, replacement, proto.read_text(), count=1, flags=re.DOTALL)
    assert count == 1
    proto.write_text(changed)
    assert run("generate", copy)[0] == 0
    code, output = run("check", copy)
    assert code == 1
    assert complaint in output
    assert "contracts: a change breaks the released contracts; see above\n" in output
    assert "stubs differ" not in output


def test_stub_that_differs_is_seen(copy: Path) -> None:
    stub = copy / PREDICTIONS.replace(".proto", "_pb2.pyi")
    stub.write_text(stub.read_text() + "\n")
    code, output = run("check", copy)
    assert code == 1
    assert "stubs differ from protos (quietus/ingest/v1/predictions_pb2.pyi): make protos" in output


def run(command: str, folder: Path) -> tuple[int, str]:
    """Exit code, and what was complained of."""
    ended = subprocess.run(
        [sys.executable, folder / "deploy" / "contracts.py", command],
        capture_output=True,
        text=True,
        check=False,
    )
    return ended.returncode, ended.stderr + (ended.stdout if command == "check" else "")
