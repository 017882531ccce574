"""Binary COPY of records, packed column by column: numpy packs a thousand values while a codec packs a few."""

import asyncio
import struct
from collections.abc import AsyncIterator, Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import chain, groupby, islice
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import (
    REAL,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Double,
    Integer,
    Numeric,
    SmallInteger,
    String,
    Table,
    Uuid,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.types import TypeEngine

from libs.common.db.database import Transaction

Bytes = NDArray[np.uint8]
Values = Sequence[Any]
# Bytes of each value, padded to one width, and how many of them are its own; -1 is NULL.
Packed = tuple[Bytes, NDArray[np.int64]]
T = TypeVar("T", bound=Hashable)

_HEADER = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
_TRAILER = b"\xff\xff"
_LENGTH_BYTES = 4
# Packing fewer together costs more for each.
_RECORDS_AT_ONCE = 256
_NULL = -1
_JSONB_VERSION = b"\x01"
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
# Types of Postgres, by their numbers in pg_type.
_SMALLINT, _REAL = 21, 700


async def copy_records(tx: Transaction, table: Table, columns: Sequence[str], records: Iterable[Values]) -> None:
    """`records` hold a value for each of the columns, in their order."""
    rows = _stream([table.c[name] for name in columns], iter(records))
    await tx.driver.copy_to_table(table.name, columns=columns, source=rows, format="binary")


async def _stream(columns: "Sequence[Column[Any]]", records: Iterator[Values]) -> AsyncIterator[bytes]:
    """Postgres takes some rows while the next are made."""
    yield _HEADER
    while some := list(islice(records, _RECORDS_AT_ONCE)):
        yield pack(columns, some)
        await asyncio.sleep(0)
    yield _TRAILER


def pack(columns: "Sequence[Column[Any]]", records: Sequence[Values]) -> bytes:
    """At least one record. TypeError for a column of a type that isn't known here."""
    count = len(records)
    # Fields are as wide as the widest of their column; `kept` says which bytes of them are the row's.
    fields = [np.full((count, 1), len(columns), ">i2").view(np.uint8)]
    kept = [np.ones((count, 2), np.bool_)]
    with_values = zip(columns, zip(*records, strict=True), strict=True)
    for kind, same in groupby(with_values, key=lambda pair: type(pair[0].type)):
        for data, lengths in _packed(kind, list(same)):
            places = np.arange(-_LENGTH_BYTES, data.shape[-1])
            packed_lengths = lengths.astype(">i4", order="C")[..., None].view(np.uint8)
            fields.append(np.concatenate([packed_lengths, data], axis=-1).reshape(count, -1))
            kept.append((places < np.maximum(lengths, 0)[..., None]).reshape(count, -1))
    rows: Bytes = np.concatenate(fields, axis=1)[np.concatenate(kept, axis=1)]
    return rows.tobytes()


def _packed(kind: type[TypeEngine[Any]], columns: "Sequence[tuple[Column[Any], Values]]") -> Iterator[Packed]:
    if kind in _FIXED:
        yield _same_width(_FIXED[kind], [values for _, values in columns])
        return
    for column, values in columns:
        match column.type:
            case ARRAY(item_type=REAL()):
                yield _same_width(_reals, [values])
            case ARRAY(item_type=SmallInteger()):
                yield _varying(values, _smallints)
            case JSONB():
                yield _varying(values, lambda text: _JSONB_VERSION + text.encode())
            case String():
                yield _varying(values, str.encode)
            case unknown:
                raise TypeError(f"{unknown!r} can't be packed")


def _same_width(pack_values: Callable[[Values], NDArray[Any]], columns: Sequence[Values]) -> Packed:
    """(rows, columns, bytes) and (rows, columns)."""
    flat = list(chain.from_iterable(columns))
    data = pack_values(flat).view(np.uint8).reshape(len(columns), len(columns[0]), -1)
    lengths = np.where([value is None for value in flat], _NULL, data.shape[2])
    return data.transpose(1, 0, 2), lengths.reshape(len(columns), -1).T


def _varying(values: Sequence[T | None], encode: Callable[[T], bytes]) -> Packed:
    """(rows, bytes) and (rows,). Each different value is encoded once."""
    encoded = {value: encode(value) for value in set(values) if value is not None}
    fields = [b"" if value is None else encoded[value] for value in values]
    lengths = np.array([_NULL if value is None else len(field) for value, field in zip(values, fields, strict=True)])
    padded = np.array(fields, f"S{max(lengths.max(), 1)}")
    return padded.view(np.uint8).reshape(len(values), -1), lengths


def _ids(values: Values) -> NDArray[Any]:
    return np.frombuffer(b"".join([value.bytes if value else bytes(16) for value in values]), "V16")


def _moments(values: Values) -> NDArray[Any]:
    return np.array([(value - _EPOCH) // _MICROSECOND if value else 0 for value in values], ">i8")


def _numbers(values: Values) -> NDArray[Any]:
    return np.array(values, ">f8")  # None becomes NaN


def _integers(type_: str) -> Callable[[Values], NDArray[Any]]:
    return lambda values: np.array([value or 0 for value in values], type_)


def _shares(values: Values) -> NDArray[Any]:
    """NUMERIC(5,4) of [0, 1]: one digit of base 10,000."""
    digit = np.rint(np.array(values, np.float64) * 10_000)
    packed = np.zeros((len(values), 5), ">i2")  # how many digits, weight, sign, scale, the digit
    packed[:, 0], packed[:, 3] = 1, 4
    packed[:, 1] = np.where(digit == 10_000, 0, -1)
    packed[:, 4] = np.where(digit == 10_000, 1, digit)
    return packed


def _reals(values: Sequence[Sequence[float] | None]) -> NDArray[Any]:
    """REAL[], all of one length."""
    size = max((len(value) for value in values if value is not None), default=0)
    packed = np.zeros(len(values), _array_of_reals(size))
    packed["dimensions"], packed["type"], packed["size"], packed["first"] = 1, _REAL, size, 1
    packed["items"]["length"] = 4
    packed["items"]["value"] = [(0.0,) * size if value is None else value for value in values]
    return packed


@lru_cache
def _array_of_reals(size: int) -> np.dtype[Any]:
    head = [(name, ">i4") for name in ("dimensions", "flags", "type", "size", "first")]
    return np.dtype([*head, ("items", [("length", ">i4"), ("value", ">f4")], (size,))])


def _smallints(values: tuple[int, ...]) -> bytes:
    """SMALLINT[]."""
    if not values:
        return struct.pack(">iii", 0, 0, _SMALLINT)
    items = b"".join(struct.pack(">ih", 2, value) for value in values)
    return struct.pack(">iiiii", 1, 0, _SMALLINT, len(values), 1) + items


# Of one width. Anything stands for None.
_FIXED: Mapping[type[TypeEngine[Any]], Callable[[Values], NDArray[Any]]] = {
    Uuid: _ids,
    DateTime: _moments,
    Double: _numbers,
    Numeric: _shares,
    Boolean: _integers("u1"),
    SmallInteger: _integers(">i2"),
    Integer: _integers(">i4"),
    BigInteger: _integers(">i8"),
}
