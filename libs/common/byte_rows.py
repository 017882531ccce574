"""Thousands of rows of bytes at once, column by column: what a row lacks takes no room in it."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Booleans = NDArray[np.bool_]
Integers = NDArray[np.int64]


class ByteRows:
    """n rows, filled from left to right."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._parts: list[Bytes] = []
        self._kept: list[Booleans] = []

    def add(self, values: NDArray[Any], kept: Booleans | None = None) -> None:
        """values (n, ...) of any type of fixed size, as they lie in memory. Nothing is added of bytes (n, m) that
        aren't kept.
        """
        part = np.ascontiguousarray(values).reshape(self._count, -1).view(np.uint8)
        self._parts.append(part)
        self._kept.append(np.broadcast_to(np.True_ if kept is None else kept, part.shape))

    def add_choice(self, choices: Sequence[bytes], chosen: Integers) -> None:
        """To each row one of the choices, by its place among them."""
        padded = np.array(choices, np.bytes_)
        table = padded.view(np.uint8).reshape(len(choices), padded.itemsize)
        kept = np.arange(padded.itemsize) < np.array([len(choice) for choice in choices])[:, None]
        self.add(table[chosen], kept[chosen])

    def rows(self) -> Sequence[bytes]:
        kept = np.concatenate(self._kept, axis=1)
        data = np.concatenate(self._parts, axis=1)[kept].tobytes()
        ends = kept.sum(axis=1).cumsum().tolist()
        return [data[start:end] for start, end in pairwise((0, *ends))]
