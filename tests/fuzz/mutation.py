"""Changes serialised messages: as trees of fields, so that what is deep inside changes too, and as mere bytes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

VARINT, FIXED64, SIZED, GROUP, GROUP_END, FIXED32 = range(6)
_FIELD_NUMBERS = (*range(1, 17), 100, 2047, 18_999, 536_870_911)
# Among them the seconds of the last second of the year 9999, and of the first of the year 1, as varints say it.
_LAST_SECOND, _FIRST_SECOND = 253_402_300_799, 2**64 - 62_135_596_800
_INTEGERS = (
    0,
    1,
    2,
    128,
    5_000,
    2**31 - 1,
    2**31,
    2**32,
    2**40,
    2**63 - 1,
    2**63,
    2**64 - 1,
    _LAST_SECOND,
    _FIRST_SECOND,
)
_NUMBERS = (  # doubles: zero, minus zero, one, infinities, NaN with and without a payload, denormal, huge
    bytes(8),
    bytes(7) + b"\x80",
    b"\0\0\0\0\0\0\xf0\x3f",
    b"\0\0\0\0\0\0\xf0\x7f",
    b"\0\0\0\0\0\0\xf0\xff",
    b"\0\0\0\0\0\0\xf8\x7f",
    b"\1\2\3\4\5\6\xf8\xff",
    b"\1" + bytes(7),
    b"\xff\xff\xff\xff\xff\xff\xef\x7f",
)
_TEXTS = (
    b"",
    b"\0",
    b"\xff\xfe",
    b"\xc0\x80",
    b"\xed\xa0\x80",
    b"018f0000-0000-7000-8000-00000000000\xff",
    "\u202e\U0001f600".encode(),
    b"%s%n",
    b"a" * 70_000,
    b"0" * 36,
)
_DEEP = 12_000
_DEPTH = 20
_MANY = 6_000


@dataclass
class Field:
    """`value` is a number, bytes, or the fields of a message."""

    number: int
    wire_type: int
    value: "int | bytes | list[Field]"


def parse(data: bytes, depth: int = 0) -> list[Field] | None:
    """None for what is no message. Bytes that could be one are taken for one, down to a depth."""
    fields: list[Field] = []
    position = 0
    while position < len(data):
        tag = _read_varint(data, position)
        if tag is None:
            return None
        key, position = tag
        number, wire_type = key >> 3, key & 7
        if number == 0 or wire_type not in {VARINT, FIXED64, SIZED, FIXED32}:
            return None
        if wire_type == VARINT:
            read = _read_varint(data, position)
            if read is None:
                return None
            value, position = read
            fields.append(Field(number, wire_type, value))
            continue
        size = {FIXED64: 8, FIXED32: 4}.get(wire_type)
        if size is None:
            read = _read_varint(data, position)
            if read is None:
                return None
            size, position = read
        content, position = data[position : position + size], position + size
        if position > len(data):
            return None
        inner = parse(content, depth + 1) if wire_type == SIZED and content and depth < _DEPTH else None
        fields.append(Field(number, wire_type, content if inner is None else inner))
    return fields


def serialise(fields: Sequence[Field]) -> bytes:
    return b"".join(map(_serialised, fields))


def mutate(data: bytes, random: Random) -> bytes:
    """One to three changes."""
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        fields = parse(data)
        if fields and random.random() < 0.75:
            random.choice(_OF_FIELDS)(fields, random)
            data = serialise(fields)
        else:
            data = random.choice(_OF_BYTES)(data, random)
    return data


def _serialised(field: Field) -> bytes:
    key = varint(field.number << 3 | field.wire_type)
    if isinstance(field.value, int):
        return key + varint(field.value)
    content = field.value if isinstance(field.value, bytes) else serialise(field.value)
    return key + (varint(len(content)) if field.wire_type == SIZED else b"") + content


def varint(value: int) -> bytes:
    groups = bytearray()
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*groups, value))


def _read_varint(data: bytes, position: int) -> tuple[int, int] | None:
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(data):
            return None
        value |= (data[position] & 0x7F) << shift
        position += 1
        if data[position - 1] < 0x80:
            return value, position
    return None


def _somewhere(fields: list[Field], random: Random) -> tuple[list[Field], int]:
    """A message in the message, and one of its fields."""
    index = random.randrange(len(fields))
    inner = fields[index].value
    if isinstance(inner, list) and inner and random.random() < 0.8:
        return _somewhere(inner, random)
    return fields, index


def _drop(fields: list[Field], random: Random) -> None:
    where, index = _somewhere(fields, random)
    del where[index]


def _repeat(fields: list[Field], random: Random) -> None:
    """Of a oneof or a single value the last one counts, of a list all."""
    where, index = _somewhere(fields, random)
    size = len(_serialised(where[index]))
    most = max(1, min(_MANY, 400_000 // max(size, 1)))
    where[index:index] = [where[index]] * (most if random.random() < 0.05 else random.choice((1, 1, 2, 9, 33)))


def _swap_numbers(fields: list[Field], random: Random) -> None:
    where, index = _somewhere(fields, random)
    where[index].number = random.choice(_FIELD_NUMBERS)


def _other_value(fields: list[Field], random: Random) -> None:
    where, index = _somewhere(fields, random)
    field = where[index]
    if field.wire_type == VARINT:
        field.value = random.choice(_INTEGERS)
    elif field.wire_type == FIXED64:
        field.value = random.choice(_NUMBERS)
    elif field.wire_type == FIXED32:
        field.value = random.choice((bytes(4), b"\0\0\x80\x7f", b"\0\0\xc0\x7f", b"\xff\xff\x7f\xff"))
    else:
        field.value = random.choice(_TEXTS)


def _other_type(fields: list[Field], random: Random) -> None:
    where, index = _somewhere(fields, random)
    where[index] = Field(
        where[index].number,
        *random.choice(((VARINT, 7), (FIXED64, bytes(8)), (SIZED, b"\x01"), (FIXED32, bytes(4)), (GROUP, b""))),
    )


def _unknown(fields: list[Field], random: Random) -> None:
    where, index = _somewhere(fields, random)
    where.insert(index, Field(random.choice(_FIELD_NUMBERS), SIZED, random.randbytes(random.choice((0, 1, 900)))))


def _nest(fields: list[Field], random: Random) -> None:
    """A message in itself, or groups in groups, deeper than any parser goes."""
    where, index = _somewhere(fields, random)
    content = _serialised(where[index])
    number = where[index].number
    if random.random() < 0.5:
        for _ in range(random.choice((2, 99, 101, 300))):
            content = varint(number << 3 | SIZED) + varint(len(content)) + content
        where[index] = Field(number, SIZED, content)
    else:
        depth = random.choice((99, 101, _DEEP))
        groups = varint(number << 3 | GROUP) * depth + varint(number << 3 | GROUP_END) * depth
        where[index] = Field(number, SIZED, groups)


def _flip(data: bytes, random: Random) -> bytes:
    changed = bytearray(data or b"\0")
    for _ in range(random.choice((1, 1, 4, 16))):
        changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed)


def _cut(data: bytes, random: Random) -> bytes:
    return data[: random.randrange(len(data) + 1)]


def _insert(data: bytes, random: Random) -> bytes:
    position = random.randrange(len(data) + 1)
    return data[:position] + random.randbytes(random.choice((1, 2, 8, 64))) + data[position:]


def _splice(data: bytes, random: Random) -> bytes:
    start, end = sorted(random.randrange(len(data) + 1) for _ in range(2))
    position = random.randrange(len(data) + 1)
    return data[:position] + data[start:end] + data[position:]


def _lie(data: bytes, random: Random) -> bytes:
    """A length, or what may be one, that says too much; or a number without an end."""
    position = random.randrange(len(data) + 1)
    lie = random.choice((varint(2**31 - 1), varint(2**32), varint(2**63), b"\xff" * 11, varint(len(data) + 1)))
    return data[:position] + lie + data[position + 1 :]


def _noise(data: bytes, random: Random) -> bytes:
    return random.randbytes(random.randrange(200))


_OF_FIELDS: Sequence[Callable[[list[Field], Random], None]] = (
    _drop,
    _repeat,
    _swap_numbers,
    _other_value,
    _other_value,
    _other_type,
    _unknown,
    _nest,
)
_OF_BYTES: Sequence[Callable[[bytes, Random], bytes]] = (_flip, _flip, _cut, _insert, _splice, _lie, _noise)
