"""UUIDv7 (RFC 9562), the ids that devices make: they carry their time, so tables are partitioned by them."""

import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def uuid7(at: datetime | None = None, random_bits: Callable[[int], int] = secrets.randbits) -> UUID:
    """Milliseconds of `at` (aware; now by default), its microseconds as 12 bits (method 3), 62 random bits.

    ValueError for a time before 1970.
    """
    microseconds = ((at or datetime.now(UTC)) - EPOCH) // timedelta(microseconds=1)
    if microseconds < 0:
        raise ValueError("a UUIDv7 holds no time before 1970")
    milliseconds, rest = divmod(microseconds, 1000)
    fraction = (rest << 12) // 1000
    return UUID(int=milliseconds << 80 | 0x7 << 76 | fraction << 64 | 0b10 << 62 | random_bits(62))


def first_uuid7(moment: datetime) -> UUID:
    """No UUIDv7 of the moment or later is less."""
    return UUID(int=max((moment - EPOCH) // timedelta(milliseconds=1), 0) << 80)


def uuid7_time(value: UUID) -> datetime:
    """The time in a UUIDv7, UTC, to the millisecond. ValueError for another kind of UUID."""
    if value.version != 7:
        raise ValueError("not a UUIDv7")
    return EPOCH + timedelta(milliseconds=value.int >> 80)
