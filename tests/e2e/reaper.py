"""`python -m tests.e2e.reaper FOLDER` waits for the end of its standard input, which comes with the end of the tests,
however they end; then it ends every process that still works below the folder, and removes the folder.
"""

import contextlib
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from tests.support.disk import unmount_below

END_SECONDS = 10.0
POLL_SECONDS = 0.05


@contextlib.contextmanager
def guarded(folder: Path) -> Iterator[None]:
    """The folder is removed afterwards, with every process that works below it, even when this process is killed."""
    reaper = subprocess.Popen(
        [sys.executable, "-m", "tests.e2e.reaper", folder], stdin=subprocess.PIPE, start_new_session=True
    )
    try:
        yield
    finally:
        reaper.communicate()


def reap(folder: Path) -> None:
    """Again and again, because a supervisor may start something just before it ends."""
    give_up = time.monotonic() + END_SECONDS
    while (found := list(working_below(folder))) and time.monotonic() < give_up:
        for process in found:
            with contextlib.suppress(psutil.Error):
                process.send_signal(signal.SIGQUIT if _is_postgres(process) else signal.SIGKILL)
        time.sleep(POLL_SECONDS)
    unmount_below(folder)
    shutil.rmtree(folder, ignore_errors=True)


def working_below(folder: Path) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):  # it is over, or somebody else's
            if _works_below(process, folder):
                yield process


def _works_below(process: psutil.Process, folder: Path) -> bool:
    """Services and apps say so by their environment, Postgres and its supervisor by their commands."""
    command = process.cmdline()
    if _is_postgres(process) or "libs.common.db.embedded" in command:
        return any(argument.startswith(str(folder)) for argument in command)
    return process.environ().get("QUIETUS_STATE_DIR", "").startswith(str(folder))


def _is_postgres(process: psutil.Process) -> bool:
    """The server itself: told to end at once it takes its children with it."""
    return process.name() == "postgres"


if __name__ == "__main__":
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    sys.stdin.buffer.read()
    reap(Path(sys.argv[1]))
