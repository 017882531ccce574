"""Values of many predictions at once: a column has a value for each row, and becomes a field of each row.

A field is what binary COPY wants of it: its length and its bytes.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from services.ingest.vocabulary import Reason

T = TypeVar("T")
K = TypeVar("K")
_FLOAT4 = np.dtype([("length", ">i4"), ("value", ">f4")])
Refusals = dict[int, tuple[str, Reason]]


class Refused(Exception):  # noqa: N818 - a verdict on a value, caught by whoever asked
    """`part` is what of the value it is about; empty for all of it."""

    def __init__(self, reason: Reason, part: str = "") -> None:
        super().__init__(reason, part)
        self.reason = reason
        self.part = part


class Rows:
    """The rows of a column. What is found first against a row stands."""

    def __init__(self, numbers: Sequence[int], refused: Refusals) -> None:
        self._numbers = numbers
        self._refused = refused

    def __len__(self) -> int:
        return len(self._numbers)

    def only(self, positions: Sequence[int]) -> "Rows":
        return Rows([self._numbers[position] for position in positions], self._refused)

    def refuse(self, position: int, field: str, reason: Reason) -> None:
        self._refused.setdefault(self._numbers[position], (field, reason))

    def refuse_where(self, bad: NDArray[np.bool_], field: str, reason: Reason) -> None:
        for position in np.flatnonzero(bad).tolist():
            self.refuse(position, field, reason)

    def fields(self, make: Callable[[T], bytes], values: Sequence[T], field: str) -> list[bytes]:
        """What `make` makes of each value; nothing where it raises Refused. It may be asked twice for a value."""
        try:
            return list(map(make, values))
        except Refused:
            return [self._field(make, value, position, field) for position, value in enumerate(values)]

    def _field(self, make: Callable[[T], bytes], value: T, position: int, field: str) -> bytes:
        try:
            return make(value)
        except Refused as refused:
            self.refuse(position, f"{field}.{refused.part}" if refused.part else field, refused.reason)
            return b""

    def fields_by(
        self, kinds: Sequence[K], values: Sequence[T], make: Callable[[K, "Rows", Sequence[T]], list[bytes]]
    ) -> list[bytes]:
        """`make` gets the values of one kind at a time, with their rows; `kinds` has one for each value, of few."""
        distinct = set(kinds)
        if len(distinct) == 1:
            return make(distinct.pop(), self, values)
        fields = [b""] * len(values)
        for kind in distinct:
            positions = [position for position, found in enumerate(kinds) if found == kind]
            made = make(kind, self.only(positions), [values[position] for position in positions])
            for position, field in zip(positions, made, strict=True):
                fields[position] = field
        return fields


def cut(data: bytes, size: int) -> list[bytes]:
    """Parts of `size` bytes."""
    return [data[start : start + size] for start in range(0, len(data), size)]


def float_fields(values: NDArray[np.float32]) -> list[bytes]:
    """The fields of each row of (rows, fields) numbers, one behind the other."""
    packed = np.empty(values.shape, _FLOAT4)
    packed["length"], packed["value"] = 4, values
    return cut(packed.tobytes(), values.shape[1] * _FLOAT4.itemsize)
