"""A probability for each of some emotions."""

from collections.abc import Sequence
from functools import lru_cache
from struct import Struct

import numpy as np

from libs.common.db.copying import FLOAT4_TYPE, INT2_TYPE, NULL, array_head
from services.ingest.content.columns import Refused, Rows, float_fields
from services.ingest.vocabulary import EMOTIONS, Reason

PROBABILITY_SUM_TOLERANCE = 0.001
NO_DISTRIBUTION = 2 * NULL

# Labels, and as many probabilities; None: the model has none.
Distribution = tuple[tuple[int, ...], Sequence[float]] | None

_INT2 = Struct(">ih")


def distributions(rows: Rows, values: Sequence[Distribution], field: str) -> list[bytes]:
    """The fields of the labels and of the probabilities."""

    def of_size(size: int | None, rows: Rows, values: Sequence[Distribution]) -> list[bytes]:
        if size is None:
            return [NO_DISTRIBUTION] * len(values)
        if not 0 < size < len(EMOTIONS):
            return rows.fields(_refuse, values, field)
        present = [value for value in values if value]
        heads = rows.fields(_labels, [(labels, size) for labels, _ in present], field)
        probabilities = np.array([numbers for _, numbers in present], np.float32)
        with np.errstate(invalid="ignore"):  # infinities of both signs; they are refused below
            total = probabilities.sum(axis=1, dtype=np.float64)
        inside = (probabilities.min(axis=1) >= 0.0) & (probabilities.max(axis=1) <= 1.0)  # NaN is never inside
        rows.refuse_where(~inside, f"{field}.probabilities", Reason.OUT_OF_RANGE)
        rows.refuse_where(abs(total - 1.0) > PROBABILITY_SUM_TOLERANCE, field, Reason.BAD_DISTRIBUTION)
        return list(map(bytes.__add__, heads, float_fields(probabilities)))

    return rows.fields_by([None if value is None else len(value[1]) for value in values], values, of_size)


def _refuse(value: Distribution) -> bytes:
    raise Refused(Reason.BAD_DISTRIBUTION)


@lru_cache(maxsize=1024)  # a model always sends the same ones
def _labels(labels_and_size: tuple[tuple[int, ...], int]) -> bytes:
    """The field of the labels, and the head of the field of the probabilities."""
    labels, probabilities = labels_and_size
    if not labels or len(labels) != probabilities or len(set(labels)) != len(labels):
        raise Refused(Reason.BAD_DISTRIBUTION)
    for label in labels:
        if not 0 < label < len(EMOTIONS):
            raise Refused(Reason.UNKNOWN_VALUE, "labels")
    items = b"".join([_INT2.pack(2, label) for label in labels])
    return array_head(INT2_TYPE, len(labels), 6) + items + array_head(FLOAT4_TYPE, len(labels), 8)
