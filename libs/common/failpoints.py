"""Places where a test may kill this process, to see what a crash right there leaves behind.

QUIETUS_FAILPOINTS="ingest.before_commit=kill@3,follower.after_commit=kill@1" kills at the third and at the first hit.
QUIETUS_FAILPOINTS="@FILE" reads the same from FILE, where a test may write it while the process runs; the kill
removes FILE, so that the next process lives. QUIETUS_FAILPOINTS_LOG names a file to which the failpoint's name is
appended before the kill.
"""

import os
import signal
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

NAMES: Final = frozenset(
    {
        "ingest.before_commit",
        "ingest.after_commit_before_ack",
        "feed.after_commit_before_publish",
        "follower.before_commit",
        "follower.after_commit",
    }
)


def parse(text: str) -> Mapping[str, int]:
    """From each armed name to the hit, counted from 1, that kills. ValueError for anything that isn't understood."""
    armed: dict[str, int] = {}
    for part in filter(None, text.split(",")):
        name, _, action = part.strip().partition("=")
        verb, _, count = action.partition("@")
        if name not in NAMES or verb != "kill" or not count.isdecimal() or int(count) < 1:
            raise ValueError(f"QUIETUS_FAILPOINTS: {part.strip()!r} is not <failpoint>=kill@<hit>")
        armed[name] = int(count)
    return MappingProxyType(armed)


_SETTING: Final = os.environ.get("QUIETUS_FAILPOINTS", "")
_FILE: Final = Path(_SETTING[1:]) if _SETTING.startswith("@") else None
_ARMED: Final = parse("" if _FILE else _SETTING)
_HITS: Final[Counter[str]] = Counter()


def hit(name: str) -> None:
    if name in _ARMED:
        _count(name, _ARMED[name])
    elif _FILE and _FILE.exists() and name in (armed := parse(_FILE.read_text())):
        _count(name, armed[name])


def _count(name: str, fatal_hit: int) -> None:
    _HITS[name] += 1
    if _HITS[name] == fatal_hit:
        if log_path := os.environ.get("QUIETUS_FAILPOINTS_LOG"):
            with Path(log_path).open("a") as log:
                log.write(f"{name}\n")
        if _FILE:
            _FILE.unlink()
        os.kill(os.getpid(), signal.SIGKILL)
