"""A disk that gets full: a small one for Postgres where this process may mount, limits of files elsewhere."""

import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

DISK_BYTES = 640 << 20
BALLAST = "ballast"
# Nothing that a server of Postgres writes to stays below this for long.
LARGEST_FILE_BYTES = 1 << 16


@contextmanager
def small_disk(folder: Path) -> Iterator[bool]:
    """The folder becomes a small disk in memory; False when this process may not mount."""
    folder.mkdir(parents=True)
    mounted = mount(folder)
    try:
        yield mounted
    finally:
        if mounted:
            unmount(folder)


def mount(folder: Path) -> bool:
    command = ("mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "quietus-test", str(folder))
    return (
        shutil.which("mount") is not None and not subprocess.run(command, capture_output=True, check=False).returncode
    )


def unmount(folder: Path) -> None:
    """Goes away as soon as nobody uses it."""
    subprocess.run(("umount", "--lazy", str(folder)), check=True)


def unmount_below(folder: Path) -> None:
    """What killed tests left."""
    for disk in psutil.disk_partitions(all=True):
        if Path(disk.mountpoint).is_relative_to(folder):
            unmount(Path(disk.mountpoint))


def fill(folder: Path) -> None:
    """Not a byte is left on the folder's disk."""
    with suppress(OSError), (folder / BALLAST).open("ab") as ballast:  # no space left on device
        while True:
            ballast.write(bytes(1 << 20))
            ballast.flush()


def empty(folder: Path) -> None:
    (folder / BALLAST).unlink()


def limit_files(processes: Iterable[psutil.Process], largest: str = str(LARGEST_FILE_BYTES)) -> None:
    """They, and those that they start from now on, can't write beyond that. Takes no more than being their user."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            command = (*_as_user_of(process), "prlimit", "--pid", str(process.pid), f"--fsize={largest}:")
            done = subprocess.run(command, capture_output=True, check=False, text=True)
            assert done.returncode == 0 or _is_over(process), done.stderr


def _is_over(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def _as_user_of(process: psutil.Process) -> tuple[str, ...]:
    """Not by subprocess itself, which forks then: gRPC's threads don't survive that."""
    if os.geteuid():
        return ()
    return "setpriv", f"--reuid={process.uids().real}", f"--regid={process.gids().real}", "--clear-groups"


def unlimit_files(processes: Iterable[psutil.Process]) -> None:
    limit_files(processes, "unlimited")


def free_bytes(folder: Path) -> int:
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize
