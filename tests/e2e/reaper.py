"""`python -m tests.e2e.reaper FOLDER` waits for the end of its standard input, which comes with the end of the tests,
however they end; then it kills every process that still works below the folder, and removes the folder.
"""

import contextlib
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil

END_SECONDS = 10.0


def working_below(folder: Path) -> Iterator[psutil.Process]:
    """The processes whose command or state folder names it; Postgres' own children end with their parent."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            state_dir = process.environ().get("QUIETUS_STATE_DIR", "")
            if any(str(folder) in text for text in (*process.cmdline(), state_dir)) and process.pid != os.getpid():
                yield process


def reap(folder: Path) -> None:
    found = list(working_below(folder))
    for process in found:
        # Postgres is told to end at once, and takes its children with it.
        number = signal.SIGQUIT if process.name() == "postgres" else signal.SIGKILL
        with contextlib.suppress(psutil.Error):
            process.send_signal(number)
    _, alive = psutil.wait_procs(found, END_SECONDS)
    for process in alive:
        with contextlib.suppress(psutil.Error):
            process.kill()
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    sys.stdin.buffer.read()
    reap(Path(sys.argv[1]))
