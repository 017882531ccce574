"""Further processes of one service on one port: the kernel spreads connections over them, each serves what it gets.

The first process is the leader: it starts the others, does what only one may do (followers, jobs), and ends when one of
them ends. They die with it, whatever it dies of; that is Linux's doing (prctl).
"""

import asyncio
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
END_SECONDS: Final = 15.0


class WorkerEndedError(Exception):
    """A worker ended by itself; the leader is better started anew with all of them."""


class Workers:
    def __init__(self, command: Sequence[str], environments: Sequence[dict[str, str]]) -> None:
        """One worker for each environment, which is added to this process's."""
        self._command = command
        self._environments = environments
        self._processes: list[subprocess.Popen[bytes]] = []
        self._drains = False

    async def run(self) -> None:
        """Until it is cancelled, or all have ended as they were told. WorkerEndedError."""
        if not self._environments or self._drains:
            return
        try:
            # Popen and not asyncio's: uvloop forks, which gRPC warns of, and Popen doesn't.
            self._processes += [
                subprocess.Popen(self._command, env={**os.environ, **environment})  # noqa: ASYNC220, S603
                for environment in self._environments
            ]
            waits = [asyncio.create_task(asyncio.to_thread(process.wait)) for process in self._processes]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            if not self._drains:
                raise WorkerEndedError
            await asyncio.wait(waits)  # the leader still has streams of its own to end
        finally:
            await self._end()

    def drain(self) -> None:
        """Tells them to end in their time."""
        self._drains = True
        for process in self._processes:
            process.terminate()

    async def _end(self) -> None:
        self.drain()
        try:
            await asyncio.to_thread(self._wait)
        finally:
            for process in self._processes:
                process.kill()

    def _wait(self) -> None:
        with suppress(subprocess.TimeoutExpired):
            for process in self._processes:
                process.wait(END_SECONDS)


def die_with_leader(process_id: int) -> None:
    """For a worker, first of all: whoever kills the leader kills it too."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != process_id:
        sys.exit(1)
