"""Failpoints kill at the hit that was asked for, and cost nothing otherwise."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from libs.common import failpoints


def test_reads_what_is_armed() -> None:
    assert failpoints.parse("") == {}
    assert failpoints.parse("follower.before_commit=kill@3, ingest.before_commit=kill@1") == {
        "follower.before_commit": 3,
        "ingest.before_commit": 1,
    }


@pytest.mark.parametrize("text", ["nowhere=kill@1", "ingest.before_commit", "ingest.before_commit=kill@0", "=kill@x"])
def test_refuses_what_it_does_not_understand(text: str) -> None:
    with pytest.raises(ValueError, match="QUIETUS_FAILPOINTS"):
        failpoints.parse(text)


def test_does_nothing_unless_armed() -> None:
    for name in failpoints.NAMES:
        failpoints.hit(name)


def test_a_file_arms_a_process_that_runs(tmp_path: Path) -> None:
    armed, log = tmp_path / "armed", tmp_path / "log"
    program = (
        "from libs.common import failpoints; from pathlib import Path; failpoints.hit('follower.after_commit');"
        f"Path({str(armed)!r}).write_text('follower.after_commit=kill@2');"
        "print(failpoints.hit('follower.after_commit'), flush=True); failpoints.hit('follower.after_commit')"
    )
    environment = {**os.environ, "QUIETUS_FAILPOINTS": f"@{armed}", "QUIETUS_FAILPOINTS_LOG": str(log)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, b"None\n")
    assert log.read_text() == "follower.after_commit\n"
    assert not armed.exists(), "the next process would be killed too"
