"""The embedded Postgres of one machine, owned by one supervisor process.

`python -m libs.common.db.embedded FOLDER` runs in the foreground, prints {"dsn": ...} on one line when the server takes
connections, starts it anew whenever it dies or is stuck, and stops it on SIGTERM. What can't start ends in one line and
status 1.

The folder holds `cluster/` (the data), `server.log`, the socket and the supervisor's lock; it is 0700. No port.
"""

import argparse
import fcntl
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, NoReturn
from urllib.parse import quote

import psutil

from libs.common.db import watch
from libs.common.db.cluster import (
    ADMIN_ROLE,
    EmbeddedError,
    binaries,
    last_reason,
    make_cluster,
    make_private,
    run_as,
    unprivileged_user,
)
from libs.common.db.sizes import SERVER_CONNECTIONS

SOCKET_NAME = ".s.PGSQL.5432"
MAX_SOCKET_PATH_BYTES = 107

ORPHANS_SECONDS = 60.0
SHUTDOWN_SECONDS = 30.0
POLL_SECONDS = 0.02
# A new cluster takes 40 MB, and Postgres stops at once when it can't write.
NEEDED_BYTES = 64 << 20

SETTINGS = {
    "listen_addresses": "",
    "max_connections": str(SERVER_CONNECTIONS),
    "shared_buffers": "256MB",
    "jit": "off",
    # Fewer, longer checkpoints: after each one, the next write of a page carries the whole page.
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "wal_compression": "on",
    # Statements and keys of rows are people's data: the log says what failed, not on whom.
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
    "log_line_prefix": "%m [%p] ",
}
# For tests alone: a crash of the machine loses data, a crash of Postgres doesn't.
NOT_DURABLE = {
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "64MB",
    "max_wal_size": "128MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
}


class EmbeddedPostgres:
    """The server of one folder. One process at a time may hold it; a second gets EmbeddedError."""

    def __init__(self, folder: Path, settings: Mapping[str, str] | None = None) -> None:
        self.folder = folder.absolute()
        self.cluster = self.folder / "cluster"
        self.log_file = self.folder / "server.log"
        self._settings = {**SETTINGS, **(settings or {})}
        self._lock: BinaryIO | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def dsn(self) -> str:
        """The administrator's."""
        return f"postgresql://{ADMIN_ROLE}@/postgres?host={quote(str(self._socket_folder()), safe='')}"

    @property
    def process_id(self) -> int:
        """The server's. RuntimeError when none was started."""
        if self._process is None:
            raise RuntimeError("not started")
        return self._process.pid

    def start(self) -> str:
        """Starts a new process, waits for crash recovery and returns the administrator's DSN. Raises EmbeddedError."""
        try:
            if self._lock is None:
                self._take_folder()
            if shutil.disk_usage(self.folder).free < NEEDED_BYTES:
                raise EmbeddedError(f"{self.folder}: the disk is full")
            if not self.cluster.exists():
                make_cluster(self.cluster, unprivileged_user(), durable=self._settings.get("fsync") != "off")
            self._end_orphan()
            self._run()
        except OSError as error:
            raise EmbeddedError(f"{self.folder}: {error.strerror or error}") from error
        return self.dsn

    def wait(self) -> bool:
        """Blocks until the server dies; True when it had to be killed, as it neither served nor recovered."""
        if self._process is None:
            return False
        watched = self._watch(self._process)
        while not watched.gives_up():
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(watch.LOOK_SECONDS)
                return False
        self._kill(self._process)
        return True

    def stop(self) -> None:
        """Ends transactions, writes a checkpoint and lets the folder go. Does nothing when nothing runs."""
        if self._process is not None:
            if self._process.poll() is None:
                _shut_down(psutil.Process(self._process.pid))
            self._process.wait()
            self._process = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _take_folder(self) -> None:
        lock_file = self.folder / "supervisor.lock"
        if self.folder.is_dir() and any(self.folder.iterdir()) and not lock_file.exists():
            raise EmbeddedError(f"{self.folder}: holds other files")
        user = unprivileged_user()
        for folder in {self.folder, self._socket_folder()}:
            make_private(folder, user)
        lock = lock_file.open("ab")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            raise EmbeddedError(f"{self.folder}: another process runs Postgres here") from None
        self._lock = lock
        if self.log_file.exists():
            self.log_file.replace(self.log_file.with_name("server.log.1"))

    def _socket_folder(self) -> Path:
        """The folder itself, or one with a short name: the path of a socket is limited."""
        if len(os.fsencode(self.folder / SOCKET_NAME)) <= MAX_SOCKET_PATH_BYTES:
            return self.folder
        digest = hashlib.sha256(os.fsencode(self.folder)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"quietus-{os.geteuid()}-{digest}"

    def _end_orphan(self) -> None:
        """Ends a server whose supervisor was killed, and forgets a process id that belongs to another program now."""
        lines = self._pid_file_lines()
        if not lines:
            return
        try:
            process = psutil.Process(int(lines[0]))
            if str(self.cluster) in process.cmdline():
                _shut_down(process)
            else:
                (self.cluster / "postmaster.pid").unlink()
        except psutil.NoSuchProcess:
            return  # Postgres sees that for itself, and finds the old shared memory by the file.
        except ValueError:
            raise EmbeddedError(f"{self.cluster / 'postmaster.pid'}: is not a process id") from None

    def _run(self) -> None:
        arguments = [f"--{name}={value}" for name, value in self._settings.items()]
        command = [str(binaries() / "postgres"), "-D", str(self.cluster), "-k", str(self._socket_folder()), *arguments]
        options = run_as(unprivileged_user(), self.folder)
        give_up = time.monotonic() + ORPHANS_SECONDS
        while True:
            with self.log_file.open("ab") as log:
                said_before = log.tell()
                self._process = subprocess.Popen(  # noqa: S603 - our own binary
                    command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, **options
                )
            if self._becomes_ready(self._process):
                return
            said = self._said(said_before)
            # It was killed while it started, or sessions of the one before hold its memory until they notice; these
            # say something too.
            passing = self._process.returncode < 0 or "shared memory block" in said
            if not passing or time.monotonic() > give_up:
                raise EmbeddedError(f"{self.folder}: {last_reason(said)} (see {self.log_file})")
            time.sleep(POLL_SECONDS)

    def _becomes_ready(self, process: "subprocess.Popen[bytes]") -> bool:
        """False when it ended instead."""
        watched = self._watch(process)
        while process.poll() is None:
            lines = self._pid_file_lines()
            if len(lines) >= 8 and lines[0] == str(process.pid) and lines[7] == "ready":
                return True
            if watched.gives_up():
                self._kill(process)
                raise EmbeddedError(f"{self.folder}: neither served nor recovered (see {self.log_file})")
            time.sleep(POLL_SECONDS)
        return False

    def _watch(self, process: "subprocess.Popen[bytes]") -> watch.Watch:
        return watch.Watch(process.pid, self._socket_folder())

    def _kill(self, process: "subprocess.Popen[bytes]") -> None:
        watch.kill(process.pid)
        process.wait()

    def _pid_file_lines(self) -> list[str]:
        try:
            return [line.strip() for line in (self.cluster / "postmaster.pid").read_text().splitlines()]
        except FileNotFoundError:
            return []

    def _said(self, since: int) -> str:
        """The end of what stands in the log since then."""
        with self.log_file.open("rb") as log:
            log.seek(max(since, self.log_file.stat().st_size - 16_384))
            return log.read().decode(errors="replace")


def _shut_down(process: psutil.Process) -> None:
    """Politely first, then at once."""
    for how in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
        try:
            process.send_signal(how)
            process.wait(SHUTDOWN_SECONDS)
        except psutil.TimeoutExpired:
            continue
        except psutil.NoSuchProcess:
            pass
        return


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m libs.common.db.embedded")
    parser.add_argument("folder", type=Path, help="made when it isn't there")
    folder = parser.parse_args(arguments).folder
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end)
    server = EmbeddedPostgres(folder)
    try:
        print(json.dumps({"dsn": server.start()}), flush=True)  # noqa: T201 - the parent reads it
        while True:
            if server.wait():
                print("postgres: neither served nor recovered, is started anew", file=sys.stderr)  # noqa: T201
            server.start()
    except EmbeddedError as error:
        print(f"postgres: {error}", file=sys.stderr)  # noqa: T201 - a supervisor's last words
        return 1
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        server.stop()


def _end(number: int, frame: object) -> NoReturn:
    raise SystemExit(0)


if __name__ == "__main__":
    sys.exit(main())
