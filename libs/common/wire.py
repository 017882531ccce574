"""Messages put together from serialised parts: fields come in any order, and what comes again is serialised once."""

from functools import lru_cache

DOUBLE, LENGTH_DELIMITED = 1, 2


def tag(field_number: int, wire_type: int = LENGTH_DELIMITED) -> bytes:
    return varint(field_number << 3 | wire_type)


@lru_cache(maxsize=4096)
def varint(value: int) -> bytes:
    """Base 128, least significant group first."""
    groups = bytearray()
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    groups.append(value)
    return bytes(groups)
