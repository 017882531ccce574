"""What leaves for research, and as what: months, moments within a session, and names that mean nothing elsewhere."""

import re
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from hashlib import blake2b
from secrets import token_bytes
from uuid import UUID

from services.ingest.vocabulary import Modality

SCHEMA_VERSION = "1"
MONTHS_MAX = 24

_MONTH = re.compile(r"(20\d\d)-(0[1-9]|1[0-2])")
_KEY_BYTES = 32
_NAME_BYTES = 16


@dataclass(frozen=True, slots=True)
class Months:
    """Whole months in UTC, both included: two exports whose periods differ by a day would tell a session's day."""

    first: date
    last: date

    @property
    def start(self) -> datetime:
        return datetime(self.first.year, self.first.month, 1, tzinfo=UTC)

    @property
    def end(self) -> datetime:
        """Of what lies before it."""
        return datetime(self.last.year + self.last.month // 12, self.last.month % 12 + 1, 1, tzinfo=UTC)

    @property
    def is_valid(self) -> bool:
        months = (self.last.year - self.first.year) * 12 + self.last.month - self.first.month + 1
        return 1 <= months <= MONTHS_MAX

    def __str__(self) -> str:
        return f"{self.first:%Y-%m}..{self.last:%Y-%m}"


def month_of(text: str) -> date:
    """Of YYYY-MM. ValueError."""
    match = _MONTH.fullmatch(text)
    if match is None:
        raise ValueError("a month is written YYYY-MM")
    return date(int(match[1]), int(match[2]), 1)


class Names:
    """Names for ids, the same for the same id in one export and in no other: ids of ours hold a time."""

    def __init__(self) -> None:
        self._key = token_bytes(_KEY_BYTES)

    def of(self, identifier: UUID) -> str:
        return blake2b(identifier.bytes, digest_size=_NAME_BYTES, key=self._key).hexdigest()


def offset_milliseconds(moment: datetime, session_start: datetime) -> int:
    return (moment - session_start) // timedelta(milliseconds=1)


@dataclass(slots=True)
class Report:
    """What left, and what was withheld for want of consent."""

    export_id: str
    months: str
    people: int = 0
    people_withheld: int = 0
    sessions: int = 0
    sessions_withheld: int = 0
    rows: dict[str, int] = field(default_factory=lambda: dict.fromkeys(map(dataset_of, Modality), 0))
    rows_withheld: int = 0


def dataset_of(modality: Modality) -> str:
    return f"{modality.name.lower()}_predictions"
