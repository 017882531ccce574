"""Names, scores and words: checked and packed. What was seen before is only looked up."""

from functools import lru_cache

from libs.common.db.copying import NULL, numeric, sized
from quietus_edge.normalise import four_decimals
from services.ingest.content.columns import Refused
from services.ingest.vocabulary import Reason

MODEL_VERSION_MAX_BYTES = 64


class Scores(dict[float | None, bytes]):
    """The fields of normalised scores. What is found here needs no check; there are 10,000 of them for each unit."""

    def __init__(self, minimum: float) -> None:
        super().__init__({None: NULL})  # not measured
        self._minimum = minimum

    def normalised(self, value: float) -> float:
        """The score at four decimals, which is found from now on; one that is out of range stays what it is."""
        if not self._minimum <= value <= 1.0:  # NaN is never inside
            return value
        score = four_decimals(value)
        self[score] = numeric(round(score * 10_000))
        return score

    def __missing__(self, value: float | None) -> bytes:
        raise Refused(Reason.OUT_OF_RANGE)


SCORES = Scores(minimum=0.0)
VALENCES = Scores(minimum=-1.0)


class Members(dict[int, bytes]):
    """The fields of an enum's names, by their numbers."""

    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__((number, sized(name.encode())) for number, name in enumerate(names) if name)

    def __missing__(self, number: int) -> bytes:
        raise Refused(Reason.UNKNOWN_VALUE if number else Reason.MISSING)


@lru_cache(maxsize=1024)
def model_version(value: str) -> bytes:
    if not value:
        raise Refused(Reason.MISSING)
    check_words(value, MODEL_VERSION_MAX_BYTES)
    return sized(value.encode())


def check_words(value: str, max_bytes: int, part: str = "") -> None:
    """Checks a free text that is short."""
    if len(value.encode()) > max_bytes:
        raise Refused(Reason.TOO_LONG, part)
    if "\0" in value:  # Postgres keeps no NUL in text
        raise Refused(Reason.UNKNOWN_VALUE, part)
