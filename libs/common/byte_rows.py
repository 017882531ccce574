"""Thousands of rows of bytes at once, column by column: what a row lacks takes no room in it."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Booleans = NDArray[np.bool_]


class ByteRows:
    """n rows, at least one, filled from left to right."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._parts: list[Bytes] = []
        self._kept: list[Booleans | None] = []

    def add(self, values: NDArray[Any], kept: Booleans | None = None) -> None:
        """values (n, ...) of any type of fixed size, as they lie in memory. Nothing is added of bytes (n, m) that
        aren't kept.
        """
        part = np.ascontiguousarray(values).reshape(self._count, -1).view(np.uint8)
        self._parts.append(part)
        self._kept.append(kept)

    def add_strings(self, strings: Sequence[bytes]) -> None:
        """One to each row, of any length."""
        padded = np.array(strings, np.bytes_)
        lengths = np.fromiter(map(len, strings), np.int64, len(strings))
        self.add(padded, np.arange(padded.itemsize) < lengths[:, None])

    def rows(self) -> Sequence[bytes]:
        data = np.concatenate(self._parts, axis=1)
        kept = np.ones(data.shape, np.bool_)
        place = 0
        for part, part_kept in zip(self._parts, self._kept, strict=True):
            if part_kept is not None:
                kept[:, place : place + part.shape[1]] = part_kept
            place += part.shape[1]
        joined, ends = data[kept].tobytes(), kept.sum(axis=1).cumsum().tolist()
        return [joined[start:end] for start, end in pairwise((0, *ends))]
