"""A probability for each of some emotions."""

from collections.abc import Sequence
from functools import lru_cache
from struct import Struct

from services.ingest.content.scalars import NONE, Refused
from services.ingest.vocabulary import EMOTIONS, Reason

PROBABILITY_SUM_TOLERANCE = 0.001
NO_DISTRIBUTION = 2 * NONE

# Labels, and as many probabilities.
Distribution = tuple[tuple[int, ...], Sequence[float]]

_INT2_TYPE, _FLOAT4_TYPE = 21, 700
_ARRAY = Struct(">iiiIii")
_INT2 = Struct(">ih")
_FLOATS = tuple(Struct(">" + count * "if") for count in range(len(EMOTIONS)))


def distribution_fields(value: Distribution, field: str) -> bytes:
    """The fields of the labels and of the probabilities."""
    labels, probabilities = value
    count = len(probabilities)
    packed_labels = _labels(labels, count, field)
    total = sum(probabilities)
    if total != total or min(probabilities) < 0.0 or max(probabilities) > 1.0:  # noqa: PLR0124 - true of NaN alone
        raise Refused(f"{field}.probabilities", Reason.OUT_OF_RANGE)
    if abs(total - 1.0) > PROBABILITY_SUM_TOLERANCE:
        raise Refused(field, Reason.BAD_DISTRIBUTION)
    interleaved: list[float] = [4] * (2 * count)
    interleaved[1::2] = probabilities
    return packed_labels + _FLOATS[count].pack(*interleaved)


@lru_cache(maxsize=1024)  # a model always sends the same ones
def _labels(labels: tuple[int, ...], probabilities: int, field: str) -> bytes:
    """The field of the labels, and the head of the field of the probabilities."""
    if not labels or len(labels) != probabilities or len(set(labels)) != len(labels):
        raise Refused(field, Reason.BAD_DISTRIBUTION)
    for label in labels:
        if not 0 < label < len(EMOTIONS):
            raise Refused(f"{field}.labels", Reason.UNKNOWN_VALUE)
    items = b"".join([_INT2.pack(2, label) for label in labels])
    return _head(_INT2_TYPE, len(labels), 6) + items + _head(_FLOAT4_TYPE, len(labels), 8)


def _head(type_id: int, count: int, item_bytes: int) -> bytes:
    return _ARRAY.pack(20 + count * item_bytes, 1, 0, type_id, count, 1)
