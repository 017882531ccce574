"""Whether a running server serves or recovers, or does neither and never will.

PostgreSQL 18 stays like that, without a startup process, when recovery fails after a crash of one of its processes.
"""

import os
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import psutil

from libs.common.db.cluster import ADMIN_ROLE, binaries

# How often, and how long for an answer: what is stuck is given up after a minute, what is silent after two.
LOOK_SECONDS = 5.0
LOOKS = 12
# Answers of pg_isready.
SERVES, RECOVERS, SILENT = 0, 1, 2
_RECOVERING = ("postgres: startup", "postgres: checkpointer")


class Watch:
    """Of one server. Long recovery is work; a server that is stopped, or idles and refuses everybody, is given up.

    Looks are counted, not seconds: while the whole machine stands still nobody looks.
    """

    def __init__(self, process_id: int, socket_folder: Path) -> None:
        self._process_id = process_id
        self._socket_folder = socket_folder
        self._next_look = time.monotonic() + LOOK_SECONDS
        self._idle_looks = 0
        self._worked_seconds = 0.0

    def gives_up(self) -> bool:
        """Looks when it is time to."""
        if time.monotonic() >= self._next_look:
            self._idle_looks = 0 if self._is_useful() else self._idle_looks + 1
            self._next_look = time.monotonic() + LOOK_SECONDS
        return self._idle_looks >= LOOKS

    def _is_useful(self) -> bool:
        answer = self._answer()
        if answer != RECOVERS:
            return answer != SILENT
        before, self._worked_seconds = self._worked_seconds, self._recovery_seconds()
        return self._worked_seconds != before

    def _answer(self) -> int:
        command = [
            str(binaries() / "pg_isready"),
            "--quiet",
            f"--host={self._socket_folder}",
            f"--username={ADMIN_ROLE}",
            "--dbname=postgres",
            "--timeout=0",  # ours counts
        ]
        try:
            return subprocess.run(  # noqa: S603 - our own binary
                command, env={"PATH": os.defpath}, check=False, capture_output=True, timeout=LOOK_SECONDS
            ).returncode
        except subprocess.TimeoutExpired:
            return SILENT
        except OSError:  # nobody can be asked, which says nothing of the server
            return SERVES

    def _recovery_seconds(self) -> float:
        """CPU time of the processes that recover."""
        seconds = 0.0
        with suppress(psutil.NoSuchProcess):
            for process in psutil.Process(self._process_id).children():
                with suppress(psutil.NoSuchProcess):
                    if " ".join(process.cmdline()).startswith(_RECOVERING):
                        used = process.cpu_times()
                        seconds += used.user + used.system
        return seconds


def kill(process_id: int) -> None:
    """The server with all its processes: one that is stopped doesn't notice that the server is gone."""
    with suppress(psutil.NoSuchProcess):
        server = psutil.Process(process_id)
        for process in (server, *server.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                process.kill()
