"""Nothing stays behind, whatever becomes of the tests."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.reaper import guarded
from tests.support import disk

SLEEP = (sys.executable, "-c", "import signal; signal.pause()")


def test_ends_what_works_below_the_folder_when_the_tests_end(tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "suite", tmp_path / "elsewhere"
    folder.mkdir()
    reaper = subprocess.Popen(
        [sys.executable, "-m", "tests.e2e.reaper", folder], stdin=subprocess.PIPE, start_new_session=True
    )
    sleepers = [
        subprocess.Popen(SLEEP, env={**os.environ, "QUIETUS_STATE_DIR": str(folder / "state")}),
        subprocess.Popen([*SLEEP, "libs.common.db.embedded", folder / "postgres"]),
        subprocess.Popen(SLEEP, env={**os.environ, "QUIETUS_STATE_DIR": str(elsewhere)}),
    ]
    try:
        reaper.communicate(timeout=60)
        assert [sleeper.wait(10) for sleeper in sleepers[:2]] == [-signal.SIGKILL, -signal.SIGKILL]
        assert sleepers[2].poll() is None
        assert not folder.exists()
    finally:
        for sleeper in sleepers:
            sleeper.kill()
            sleeper.wait()


def test_a_disk_that_killed_tests_left_goes_with_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "suite"
    (folder / "postgres").mkdir(parents=True)
    if not disk.mount(folder / "postgres"):
        pytest.skip("this process may not mount")
    with guarded(folder):
        (folder / "postgres" / "file").write_text("")
    assert not folder.exists()
