"""Names, scores and numbers: checked, normalised and packed. What was seen before is only looked up."""

from functools import lru_cache
from struct import Struct

from quietus_edge.normalise import four_decimals
from services.ingest.vocabulary import Reason

MODEL_VERSION_MAX_BYTES = 64

NONE = b"\xff\xff\xff\xff"

_LENGTH = Struct(">i")
_NUMERIC = Struct(">ihhHHH")
_FLOAT4 = Struct(">if")


class Refused(Exception):  # noqa: N818 - a verdict on a value, caught by whoever asked
    def __init__(self, field: str, reason: Reason) -> None:
        super().__init__(field, reason)
        self.field = field
        self.reason = reason


class Scores(dict[float, bytes]):
    """The fields of normalised scores. What is found here needs no check; there are 10,000 of them for each unit."""

    def __init__(self, minimum: float) -> None:
        super().__init__()
        self._minimum = minimum

    def normalised(self, value: float, field: str) -> float:
        """The score at four decimals, which is found from now on."""
        if not self._minimum <= value <= 1.0:  # NaN is never inside
            raise Refused(field, Reason.OUT_OF_RANGE)
        score = four_decimals(value)
        self[score] = _numeric(round(score * 10_000))
        return score


SCORES = Scores(minimum=0.0)
VALENCES = Scores(minimum=-1.0)


def _numeric(ten_thousandths: int) -> bytes:
    sign = 0x4000 if ten_thousandths < 0 else 0
    whole = abs(ten_thousandths) == 10_000
    return _NUMERIC.pack(10, 1, 0 if whole else -1, sign, 4, 1 if whole else abs(ten_thousandths))


@lru_cache(maxsize=1024)
def member(number: int, names: tuple[str, ...], field: str) -> bytes:
    """The field of an enum's name."""
    if not 0 < number < len(names):
        raise Refused(field, Reason.UNKNOWN_VALUE if number else Reason.MISSING)
    return sized(names[number].encode())


@lru_cache(maxsize=1024)
def model_version(value: str, field: str) -> bytes:
    if not value:
        raise Refused(field, Reason.MISSING)
    words(value, MODEL_VERSION_MAX_BYTES, field)
    return sized(value.encode())


@lru_cache(maxsize=1024)
def words(value: str, max_bytes: int, field: str) -> None:
    """Checks a free text that is short."""
    if len(value.encode()) > max_bytes:
        raise Refused(field, Reason.TOO_LONG)
    if "\0" in value:  # Postgres keeps no NUL in text
        raise Refused(field, Reason.UNKNOWN_VALUE)


def number(value: float | None, maximum: float, field: str) -> bytes:
    """The field of a float32 in [0, maximum]."""
    if value is None:
        return NONE
    if not 0.0 <= value <= maximum:
        raise Refused(field, Reason.OUT_OF_RANGE)
    return _FLOAT4.pack(4, value)


def sized(value: bytes) -> bytes:
    return _LENGTH.pack(len(value)) + value
