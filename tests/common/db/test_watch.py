"""Servers that live and don't serve: which of them are given up, and which are waited for."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Thread, Timer

import psutil
import pytest

from libs.common.db import watch
from libs.common.db.cluster import EmbeddedError
from libs.common.db.embedded import NOT_DURABLE, EmbeddedPostgres
from tests.support import disk
from tests.support.postgres import query, quick_folder

LOOK_SECONDS = 0.2
PATIENCE_SECONDS = LOOK_SECONDS * watch.LOOKS
ROWS = 100_000
MANY = f"INSERT INTO kept SELECT repeat('x', 500) FROM generate_series(1, {ROWS})"  # noqa: S608
CRAWLS_SECONDS, RESTS_SECONDS = 0.01, 0.4
SUPERVISOR = f"""
import sys
from libs.common.db import embedded, watch
watch.LOOK_SECONDS = {LOOK_SECONDS}
sys.exit(embedded.main(sys.argv[1:]))
"""


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(watch, "LOOK_SECONDS", LOOK_SECONDS)
    with quick_folder() as parent:
        yield parent / "postgres"


@pytest.fixture
def server(folder: Path) -> Iterator[EmbeddedPostgres]:
    """Its recovery takes long enough to be caught at it."""
    started = EmbeddedPostgres(folder, {**NOT_DURABLE, "max_wal_size": "1GB"})
    started.start()
    query(started.dsn, "CREATE TABLE kept (words text)")
    query(started.dsn, MANY)
    yield started
    started.stop()


def child(server: EmbeddedPostgres, name: str, not_of: int = 0) -> psutil.Process:
    """Waits until it is there, of another process than `not_of`."""
    give_up = time.monotonic() + 30
    while time.monotonic() < give_up:
        with suppress(psutil.NoSuchProcess):
            for process in psutil.Process(server.process_id).children():
                with suppress(psutil.NoSuchProcess):
                    if process.ppid() != not_of and " ".join(process.cmdline()).startswith(f"postgres: {name}"):
                        return process
        time.sleep(0.001)
    raise AssertionError(f"no {name}")


def kept(server: EmbeddedPostgres) -> object:
    return query(server.dsn, "SELECT count(*) FROM kept")


def is_alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def test_supervisor_replaces_a_server_that_stays_stopped_and_says_so(folder: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR, str(folder)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as supervisor:
        assert supervisor.stdout is not None
        dsn = json.loads(supervisor.stdout.readline())["dsn"]
        stopped = psutil.Process(supervisor.pid).children()[0]
        processes = [stopped, *stopped.children()]
        for process in processes:
            process.suspend()
        try:
            assert query(dsn, "SELECT 1") == 1
            assert not any(is_alive(process) for process in processes)
        finally:
            supervisor.terminate()
        assert supervisor.stderr is not None
        assert supervisor.stderr.read() == "postgres: neither served nor recovered, is started anew\n"


def test_server_that_is_stopped_for_a_while_is_left_alone(server: EmbeddedPostgres) -> None:
    process = psutil.Process(server.process_id)
    process.suspend()
    Timer(PATIENCE_SECONDS / 2, process.resume).start()
    Timer(PATIENCE_SECONDS * 3, process.kill).start()
    assert not server.wait()
    server.start()
    assert kept(server) == ROWS


def test_server_that_is_stuck_after_a_crash_of_a_process_is_killed(server: EmbeddedPostgres) -> None:
    child(server, "walwriter").kill()
    child(server, "startup").suspend()
    assert server.wait()
    server.start()
    assert kept(server) == ROWS


def test_server_that_could_not_recover_under_a_limit_of_files_comes_back(server: EmbeddedPostgres) -> None:
    """PostgreSQL 18 ends itself, or idles without a startup process."""
    for _ in range(3):
        disk.limit_files([psutil.Process(server.process_id)])
        child(server, "walwriter").kill()
        server.wait()
        server.start()
        assert kept(server) == ROWS


def test_start_that_is_stuck_is_one_line(server: EmbeddedPostgres) -> None:
    old_id = server.process_id
    os.kill(old_id, signal.SIGKILL)
    assert not server.wait()
    stopper = Thread(target=lambda: child(server, "startup", not_of=old_id).suspend())
    stopper.start()
    with pytest.raises(EmbeddedError, match="neither served nor recovered") as raised:
        server.start()
    stopper.join()
    assert "\n" not in str(raised.value)
    server.start()
    assert kept(server) == ROWS


def test_recovery_that_crawls_is_waited_for(server: EmbeddedPostgres) -> None:
    old_id = server.process_id
    os.kill(old_id, signal.SIGKILL)
    server.wait()

    def crawl() -> None:
        recovery = child(server, "startup", not_of=old_id)
        with suppress(psutil.NoSuchProcess):
            while True:
                recovery.suspend()
                time.sleep(RESTS_SECONDS)
                recovery.resume()
                time.sleep(CRAWLS_SECONDS)

    crawler = Thread(target=crawl)
    crawler.start()
    began = time.monotonic()
    server.start()
    assert time.monotonic() - began > PATIENCE_SECONDS
    crawler.join()
    assert kept(server) == ROWS


def test_nobody_who_can_ask_says_nothing_of_the_server(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(watch, "binaries", lambda: folder)
    watched = watch.Watch(os.getpid(), folder)
    assert not any(watched.gives_up() for _ in range(watch.LOOKS * 2))
