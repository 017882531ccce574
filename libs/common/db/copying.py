"""Rows for binary COPY, made of bytes: what a generic codec asks about each value costs more than the value.

A row is the number of its fields (int16) and the fields; a field is its length (int32, -1 for NULL) and its value,
big-endian.
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from struct import Struct
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from libs.common.byte_rows import Booleans, ByteRows

if TYPE_CHECKING:
    from libs.common.db.database import Transaction

NULL = b"\xff\xff\xff\xff"
TRUE, FALSE = b"\x00\x00\x00\x01\x01", b"\x00\x00\x00\x01\x00"

HEADER = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
TRAILER = b"\xff\xff"
_ROWS_AT_ONCE = 128
_EPOCH_2000 = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

INT2_TYPE, FLOAT4_TYPE = 21, 700

_LENGTH = Struct(">i")
_DOUBLE = Struct(">id")
_TIMESTAMP = Struct(">iq")
_NUMERIC = Struct(">ihhHHH")
_ARRAY = Struct(">iiiIii")


async def copy_rows(tx: "Transaction", table: str, columns: Sequence[str], rows: Iterable[bytes]) -> None:
    """Rows are sent as they are made, so that Postgres works on the first while the last are being made."""
    await tx.driver.copy_to_table(table, columns=columns, source=_data(rows), format="binary")


async def _data(rows: Iterable[bytes]) -> AsyncIterator[bytes]:
    waiting = [HEADER]
    for row in rows:
        waiting.append(row)
        if len(waiting) == _ROWS_AT_ONCE:
            yield b"".join(waiting)
            waiting.clear()
    yield b"".join((*waiting, TRAILER))


def add_fields(rows: ByteRows, values: NDArray[Any], known: Booleans | None = None) -> None:
    """values (n, k), numbers: k fields to each row; NULL where they aren't known."""
    fields = np.empty(values.shape, [("length", ">i4"), ("value", values.dtype.newbyteorder(">"))])
    fields["length"], fields["value"] = values.dtype.itemsize, values
    if known is None:
        rows.add(fields)
        return
    fields["length"][~known] = -1
    is_length = np.arange(fields.dtype.itemsize) < _LENGTH.size
    rows.add(fields, (known[..., None] | is_length).reshape(len(values), -1))


def sized(value: bytes) -> bytes:
    return _LENGTH.pack(len(value)) + value


@lru_cache(maxsize=4096)
def words(value: str | None) -> bytes:
    """Of text that comes again and again."""
    return NULL if value is None else sized(value.encode())


def boolean(value: bool | None) -> bytes:
    return NULL if value is None else TRUE if value else FALSE


def double(value: float | None) -> bytes:
    return NULL if value is None else _DOUBLE.pack(8, value)


@lru_cache(maxsize=16_384)
def microseconds(moment: datetime) -> int:
    """As Postgres counts them."""
    return (moment - _EPOCH_2000) // _MICROSECOND


def timestamp(moment: datetime | None) -> bytes:
    return NULL if moment is None else _TIMESTAMP.pack(8, microseconds(moment))


def numeric(ten_thousandths: int) -> bytes:
    """Of four decimals, at most one, above or below zero."""
    sign = 0x4000 if ten_thousandths < 0 else 0
    whole = abs(ten_thousandths) == 10_000
    return _NUMERIC.pack(10, 1, 0 if whole else -1, sign, 4, 1 if whole else abs(ten_thousandths))


def array_head(item_type: int, items: int, field_bytes: int) -> bytes:
    """What comes before the fields of the items of an array of one dimension"""
    return _ARRAY.pack(20 + items * field_bytes, 1, 0, item_type, items, 1)
