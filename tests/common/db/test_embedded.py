"""The supervisor of the embedded server, as a process of its own that is killed in every way."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import psutil
import pytest

from libs.common.db import embedded
from libs.common.db.cluster import EmbeddedError
from libs.common.db.embedded import NOT_DURABLE, EmbeddedPostgres
from tests.support.postgres import query, quick_folder

COMMAND = (sys.executable, "-m", "libs.common.db.embedded")


class Supervisor:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [*COMMAND, str(folder)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.dsn: str = json.loads(self.process.stdout.readline())["dsn"]

    @property
    def server_id(self) -> int:
        return int((self.folder / "cluster" / "postmaster.pid").read_text().split("\n", 1)[0])

    def end(self) -> int:
        self.process.terminate()
        return self.process.wait(60)


@pytest.fixture
def folder() -> Iterator[Path]:
    with quick_folder() as parent:
        yield parent / "postgres"


@pytest.fixture
def supervisor(folder: Path) -> Iterator[Supervisor]:
    started = Supervisor(folder)
    yield started
    if started.process.poll() is None:
        started.end()


def test_killed_server_comes_back_with_all_that_was_committed(supervisor: Supervisor) -> None:
    query(supervisor.dsn, "CREATE TABLE kept (n int)")
    for round_number in range(3):
        query(supervisor.dsn, "INSERT INTO kept VALUES (1)")
        killed = supervisor.server_id
        os.kill(killed, signal.SIGKILL)
        assert query(supervisor.dsn, "SELECT count(*) FROM kept") == round_number + 1
        assert supervisor.server_id != killed


def test_sigterm_stops_the_server_and_leaves_a_clean_folder(supervisor: Supervisor) -> None:
    server_id = supervisor.server_id
    assert supervisor.end() == 0
    assert not psutil.pid_exists(server_id)
    assert not (supervisor.folder / "cluster" / "postmaster.pid").exists()


def test_server_is_private_and_durable_and_keeps_rows_out_of_its_log(supervisor: Supervisor) -> None:
    assert supervisor.folder.stat().st_mode & 0o777 == 0o700
    shown = {
        name: query(supervisor.dsn, f"SELECT current_setting('{name}')")
        for name in ("listen_addresses", "fsync", "synchronous_commit", "full_page_writes", "jit", "max_connections")
    }
    assert shown == {
        "listen_addresses": "",
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
        "jit": "off",
        "max_connections": "100",
    }
    query(supervisor.dsn, "CREATE TABLE people (secret text UNIQUE)")
    for _ in range(2):
        try:
            query(supervisor.dsn, "INSERT INTO people VALUES ('whispered')")
        except asyncpg.UniqueViolationError:
            log = (supervisor.folder / "server.log").read_text()
    assert "people_secret_key" in log
    assert "whispered" not in log


def test_second_supervisor_is_refused_in_one_line(supervisor: Supervisor) -> None:
    second = subprocess.run([*COMMAND, str(supervisor.folder)], capture_output=True, text=True, check=False)
    assert second.returncode == 1
    assert second.stderr.splitlines() == [f"postgres: {supervisor.folder}: another process runs Postgres here"]
    assert query(supervisor.dsn, "SELECT 1") == 1


def test_server_whose_supervisor_was_killed_is_replaced(supervisor: Supervisor) -> None:
    query(supervisor.dsn, "CREATE TABLE kept (n int)")
    orphan = supervisor.server_id
    supervisor.process.kill()
    supervisor.process.wait()
    assert psutil.pid_exists(orphan)
    successor = Supervisor(supervisor.folder)
    try:
        assert successor.server_id != orphan
        assert query(successor.dsn, "SELECT count(*) FROM kept") == 0
    finally:
        assert successor.end() == 0


def test_waits_for_sessions_of_a_killed_server_whatever_they_say(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last line of a refused start may be a session's, which ends while the new server is refused."""
    programs = folder.parent / "programs"
    programs.mkdir(mode=0o755)
    refusing_once = programs / "postgres"
    refusing_once.write_text(
        "#!/bin/sh\n"
        "[ -e refused ] && exec " + str(embedded.binaries() / "postgres") + ' "$@"\n'
        "touch refused\n"
        "echo 'FATAL:  pre-existing shared memory block (key 1, ID 1) is still in use' >&2\n"
        "echo 'FATAL:  terminating connection due to unexpected postmaster exit' >&2\n"
        "exit 1\n"
    )
    refusing_once.chmod(0o755)
    monkeypatch.setattr(embedded, "binaries", lambda: programs)
    server = EmbeddedPostgres(folder, NOT_DURABLE)
    try:
        assert query(server.start(), "SELECT 1") == 1
    finally:
        server.stop()


def test_process_id_that_belongs_to_another_program_now_is_forgotten(folder: Path) -> None:
    server = EmbeddedPostgres(folder, NOT_DURABLE)
    server.start()
    os.kill(server.process_id, signal.SIGKILL)
    server.wait()
    pid_file = folder / "cluster" / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    pid_file.write_text("\n".join([str(os.getpid()), *lines[1:]]))
    try:
        assert query(server.start(), "SELECT 1") == 1
    finally:
        server.stop()


def test_interrupted_making_of_a_cluster_is_begun_anew(folder: Path) -> None:
    (folder / "cluster.unfinished").mkdir(parents=True)
    (folder / "cluster.unfinished" / "PG_VERSION").write_text("18\n")
    (folder / "supervisor.lock").touch()
    server = EmbeddedPostgres(folder, NOT_DURABLE)
    try:
        assert query(server.start(), "SELECT 1") == 1
    finally:
        server.stop()


def test_folder_with_a_long_name_gets_its_socket_elsewhere(folder: Path) -> None:
    server = EmbeddedPostgres(folder / ("deep" * 30), NOT_DURABLE)
    try:
        assert query(server.start(), "SELECT 1") == 1
    finally:
        server.stop()


@pytest.mark.parametrize(
    ("spoiled", "content", "words"),
    [
        ("global/pg_control", None, "could not"),
        ("PG_VERSION", "9\n", "incompatible"),
        ("postmaster.pid", "not a number\n", "is not a process id"),
    ],
)
def test_broken_folder_is_one_line(folder: Path, spoiled: str, content: str | None, words: str) -> None:
    server = EmbeddedPostgres(folder, NOT_DURABLE)
    server.start()
    server.stop()
    if content is None:
        (server.cluster / spoiled).unlink()
    else:
        (server.cluster / spoiled).write_text(content)
    with pytest.raises(EmbeddedError, match=words) as raised:
        server.start()
    server.stop()
    assert str(folder) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_full_disk_is_one_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "NEEDED_BYTES", 1 << 62)
    server = EmbeddedPostgres(folder)
    with pytest.raises(EmbeddedError, match="the disk is full"):
        server.start()
    server.stop()


def test_folder_of_somebody_else_is_left_alone(folder: Path) -> None:
    folder.mkdir(mode=0o755)
    (folder / "letters.txt").touch()
    with pytest.raises(EmbeddedError, match="holds other files"):
        EmbeddedPostgres(folder).start()
    assert folder.stat().st_mode & 0o777 == 0o755


def test_folder_that_is_a_file_is_one_line(folder: Path) -> None:
    folder.write_text("")
    with pytest.raises(EmbeddedError, match="File exists"):
        EmbeddedPostgres(folder).start()
