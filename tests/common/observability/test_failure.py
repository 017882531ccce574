"""What a log may say of an exception."""

from uuid import UUID

import asyncpg
import pytest

from libs.common.observability.failure import own_frames, place_of


def refused() -> None:
    UUID("nobody's")


async def test_the_place_is_ours_whoever_raised(postgres_admin_dsn: str) -> None:
    with pytest.raises(ValueError, match="badly formed") as by_the_language:
        refused()
    connection = await asyncpg.connect(postgres_admin_dsn)
    with pytest.raises(asyncpg.DivisionByZeroError) as by_the_driver:
        await connection.fetchval("SELECT $1::int / 0", 1)
    await connection.close()
    places = [place_of(own_frames(raised.value)[-1]) for raised in (by_the_language, by_the_driver)]
    assert [place.split(":")[0] for place in places] == ["tests/common/observability/test_failure.py"] * 2
