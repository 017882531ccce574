"""Whether a person's data may be exported for research."""

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True)
class ResearchConsent:
    """`change_time` is None for one who never said anything, and so has not consented."""

    granted: bool
    change_time: datetime | None

    def changed(self, granted: bool, now: datetime) -> "ResearchConsent":
        """Later than the change before, also by a clock that was set back: the feed's history is in order of these."""
        earliest = now if self.change_time is None else self.change_time + timedelta.resolution
        return ResearchConsent(granted, max(now, earliest))


NEVER_SAID = ResearchConsent(granted=False, change_time=None)
