import asyncio
import threading

import pytest
from argon2 import PasswordHasher

from libs.common.rpc.errors import AppError
from services.identity.passwords import Passwords
from services.identity.service.hashing import MAX_WAITING, PasswordPool


class Slow(Passwords):
    """Takes until somebody says so."""

    def __init__(self) -> None:
        super().__init__(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
        self.go_on = threading.Event()

    def matches(self, password: str, password_hash: str | None) -> bool:
        self.go_on.wait(10)
        return super().matches(password, password_hash)


async def test_a_flood_is_refused_before_it_fills_the_memory() -> None:
    slow = Slow()
    pool = PasswordPool(slow)
    try:
        waiting = [asyncio.create_task(pool.matches("password", None)) for _ in range(MAX_WAITING)]
        await asyncio.sleep(0)

        with pytest.raises(AppError, match="PASSWORD_CHECKS_BUSY") as caught:
            await pool.matches("password", None)

        assert caught.value.retry_after_seconds
        slow.go_on.set()
        assert not any(await asyncio.gather(*waiting))
        assert not await pool.matches("password", None)
    finally:
        slow.go_on.set()
        pool.close()
