"""One process of the suite, started again whenever it dies."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

RESTART_SECONDS_FIRST = 0.2
RESTART_SECONDS_MOST = 10.0
HEALTHY_AFTER_SECONDS = 10.0
STOP_SECONDS = 20.0


class Child:
    """Keeps a command running.

    `run_dir` holds its pid (<name>.pid), `logs_dir` what it prints and logs (<name>.log).
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        run_dir: Path,
        logs_dir: Path,
        niceness: int = 0,
    ) -> None:
        """`niceness`: how far it stands back for others, from 0 to 19."""
        self.name = name
        self._command = command
        self._environment = environment
        self._pid_file = run_dir / f"{name}.pid"
        self._log_file = logs_dir / f"{name}.log"
        self.niceness = niceness
        self._log_bytes_before = 0
        self._process: asyncio.subprocess.Process | None = None
        self._keeper: asyncio.Task[None] | None = None
        self.restarts = 0

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    def output(self) -> str:
        """What it has printed and logged since it was started last."""
        with self._log_file.open("rb") as log:
            log.seek(self._log_bytes_before)
            return log.read().decode(errors="replace")

    def last_words(self, lines: int = 3) -> str:
        """The end of the log, for a message that says why it did not start."""
        return "\n".join(self.output().strip().splitlines()[-lines:])

    async def start(self) -> None:
        await self._spawn()
        self._keeper = asyncio.create_task(self._keep_running(), name=f"keep {self.name}")

    async def stop(self) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                async with asyncio.timeout(STOP_SECONDS):
                    await self._process.wait()
            except TimeoutError:
                self._process.kill()
                await self._process.wait()
        self._pid_file.unlink(missing_ok=True)

    async def _spawn(self) -> None:
        with self._log_file.open("ab") as log:
            self._log_bytes_before = log.tell()
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                env=dict(self._environment),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        if self.niceness:
            _stand_back(self._process.pid, self.niceness)
        self._pid_file.write_text(str(self._process.pid))

    async def _keep_running(self) -> None:
        loop = asyncio.get_running_loop()
        pause = RESTART_SECONDS_FIRST
        while True:
            started = loop.time()
            assert self._process is not None
            await self._process.wait()
            self.restarts += 1
            if loop.time() - started > HEALTHY_AFTER_SECONDS:
                pause = RESTART_SECONDS_FIRST
            await asyncio.sleep(pause)
            pause = min(pause * 2, RESTART_SECONDS_MOST)
            with contextlib.suppress(OSError):
                await self._spawn()


def _stand_back(process_id: int, niceness: int) -> None:
    """What can't be told to the system is printed: the child runs as well without."""
    # Linux may share processors among sessions before it looks at processes, and each child is a session.
    session = Path(f"/proc/{process_id}/autogroup")
    try:
        if session.exists():
            session.write_text(str(niceness))
        os.setpriority(os.PRIO_PROCESS, process_id, niceness)
    except (FileNotFoundError, ProcessLookupError):
        return  # It died at once.
    except OSError as error:
        print(f"process {process_id} doesn't stand back: {error.strerror}", file=sys.stderr)
