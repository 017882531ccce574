"""Password work off the event loop, bounded: a hash takes 64 MiB, and a flood of logins must not take the machine."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from libs.common.rpc.errors import AppError, ErrorKind
from services.identity.passwords import Passwords

THREADS = 2
MAX_WAITING = 64
RETRY_AFTER_SECONDS = 2.0

T = TypeVar("T")


class PasswordPool:
    """RESOURCE_EXHAUSTED PASSWORD_CHECKS_BUSY, with retry info, when `MAX_WAITING` others wait."""

    def __init__(self, passwords: Passwords) -> None:
        self._passwords = passwords
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="argon2")
        self._waiting = 0

    async def hash(self, password: str) -> str:
        return await self._run(lambda: self._passwords.hash(password))

    async def matches(self, password: str, password_hash: str | None) -> bool:
        return await self._run(lambda: self._passwords.matches(password, password_hash))

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _run(self, work: Callable[[], T]) -> T:
        if self._waiting >= MAX_WAITING:
            raise AppError(
                ErrorKind.RESOURCE_EXHAUSTED, "PASSWORD_CHECKS_BUSY", retry_after_seconds=RETRY_AFTER_SECONDS
            )
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._waiting -= 1
