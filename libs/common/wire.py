"""Messages put together from serialised parts: fields come in any order, and what comes again is serialised once."""

from functools import lru_cache

VARINT, DOUBLE, LENGTH_DELIMITED = 0, 1, 2


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


def long_varint(value: int) -> bytes:
    """Of a number that hardly comes again, from 0: its upper groups do."""
    if value < _TWO_GROUPS:
        return varint(value)
    return bytes((value & 0x7F | 0x80, value >> 7 & 0x7F | 0x80)) + varint(value >> 14)


_TWO_GROUPS = 1 << 14
