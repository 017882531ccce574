"""How often someone may try to log in to one account: a token bucket that is one moment, when it will be full again.

The bucket holds `BURST` attempts and gets one more every `REFILL_SECONDS`. (Generic cell rate algorithm, ITU-T I.371.)
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

BURST = 10
REFILL_SECONDS = 300
_REFILL = timedelta(seconds=REFILL_SECONDS)


@dataclass(frozen=True)
class Attempt:
    """`full_at` is to be stored when the attempt is allowed; otherwise another is allowed in `retry_after_seconds`."""

    allowed: bool
    full_at: datetime
    retry_after_seconds: float = 0.0


def take_attempt(full_at: datetime | None, now: datetime) -> Attempt:
    """`full_at` is None for an account that nobody has tried lately."""
    before = max(full_at or now, now)
    after = before + _REFILL
    wait = after - now - BURST * _REFILL
    if wait > timedelta(0):
        return Attempt(allowed=False, full_at=before, retry_after_seconds=wait.total_seconds())
    return Attempt(allowed=True, full_at=after)
