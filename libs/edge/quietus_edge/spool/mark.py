"""How far the spool has come, in a file beside it: a spool whose log was cut is a whole spool, only an older one.

The mark follows each commit, which is synced, and isn't synced itself: it may lie behind the spool, never ahead of it.
"""

import os
import struct
from contextlib import suppress
from pathlib import Path
from zlib import crc32

# Commits, and the checksum of that.
_COMMITS = struct.Struct(">Q")
_MARK = struct.Struct(">QI")


class Mark:
    def __init__(self, spool: Path) -> None:
        """A spool that isn't there yet begins a new one. OSError."""
        self._path = Path(f"{spool}.mark")
        if not spool.exists():
            self._path.unlink(missing_ok=True)

    def commits(self) -> int:
        """0 when it can't be read."""
        try:
            commits, checksum = _MARK.unpack(self._path.read_bytes())
        except (OSError, struct.error):
            return 0
        return commits if checksum == crc32(_COMMITS.pack(commits)) else 0

    def set(self, commits: int) -> None:
        """In place, and where it can't be written not at all: the spool works without it."""
        with suppress(OSError):
            file = os.open(self._path, os.O_CREAT | os.O_WRONLY, 0o600)
            try:
                os.pwrite(file, _MARK.pack(commits, crc32(_COMMITS.pack(commits))), 0)
            finally:
                os.close(file)
