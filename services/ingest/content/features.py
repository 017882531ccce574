"""Prosody: how somebody spoke."""

from collections.abc import Sequence
from struct import Struct

import numpy as np

from libs.common.db.copying import NULL
from services.ingest.content.columns import Refused, Rows, float_fields
from services.ingest.vocabulary import FEATURE_MAXIMA, FEATURES, Reason

# In the order of FEATURES; a None in it was not measured, and None alone: nothing was.
Features = tuple[float | None, ...] | None

_MAXIMA = np.array(list(FEATURE_MAXIMA.values()))
_NO_FEATURES = len(FEATURES) * NULL
_FLOAT4 = Struct(">if")


def voice_features(rows: Rows, values: Sequence[Features], field: str) -> list[bytes]:
    """The fields of all features."""

    def of_kind(measured: bool | None, rows: Rows, values: Sequence[Features]) -> list[bytes]:
        if measured is None:
            return [_NO_FEATURES] * len(values)
        if not measured:
            return rows.fields(_some, values, field)
        numbers = np.array(values, np.float32)
        inside = (numbers >= 0.0) & (numbers <= _MAXIMA)
        for name, bad in zip(FEATURES, ~inside.T, strict=True):
            rows.refuse_where(bad, f"{field}.{name}", Reason.OUT_OF_RANGE)
        return float_fields(numbers)

    return rows.fields_by([None if value is None else None not in value for value in values], values, of_kind)


def _some(values: Features) -> bytes:
    assert values is not None
    return b"".join(
        [_number(value, maximum, name) for value, (name, maximum) in zip(values, FEATURE_MAXIMA.items(), strict=True)]
    )


def _number(value: float | None, maximum: float, name: str) -> bytes:
    if value is None:
        return NULL
    if not 0.0 <= value <= maximum:
        raise Refused(Reason.OUT_OF_RANGE, name)
    return _FLOAT4.pack(4, value)
