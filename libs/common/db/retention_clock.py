"""Whether the clock may be believed when it says that something is old enough to be deleted.

What is deleted too late can be deleted later, so a clock that went ahead isn't believed at once. Each day the audit log
is told what the clock said; after a leap ahead of that nothing is deleted until the clock has gone on for a week. A
person has the time to put it right then, and a suite that was only off for long goes on by itself.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

import orjson

from libs.common.db.audit import append_audit
from libs.common.db.database import Transaction

# While a process watches; the rest is what a clock may drift or be put right.
LEAP = timedelta(days=1)
# While nobody watched, the suite may have been off for so long.
OFF_MAX = timedelta(days=14)
HELD = timedelta(days=7)
TOLD_EVERY = timedelta(days=1)
# From the database's own clock.
DIFFERENCE_MAX = timedelta(days=1)

_ACTION = "retention.clock"
# Newest first; of a log that grows faster than this in a day, nothing is known.
_ENTRIES_READ = 1_000_000
_LAST = """
SELECT metadata FROM audit_logs WHERE action = :action AND id > (SELECT max(id) FROM audit_logs) - :entries
ORDER BY id DESC LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class Reading:
    """What the clock said, and since when, by the clock, nothing is deleted because of a leap; None when there was
    none.
    """

    time: datetime
    held_since: datetime | None = None

    def then(self, now: datetime, moved: timedelta | None) -> "Reading":
        """The next one. `moved`: how far the clock was set since the last, as a process saw that watched it; None when
        none did.
        """
        step, leap = (now - self.time, OFF_MAX) if moved is None else (moved, LEAP)
        if step > leap:
            return Reading(now, held_since=now)
        if step < -LEAP or self.held_since is None or now - self.held_since >= HELD:
            return Reading(now)
        return Reading(now, self.held_since)


async def last_reading(tx: Transaction) -> Reading | None:
    found = await tx.scalar(_LAST, {"action": _ACTION, "entries": _ENTRIES_READ})
    if found is None:
        return None
    said = orjson.loads(found) if isinstance(found, str | bytes) else found
    held_since = said["held_since"]
    return Reading(datetime.fromisoformat(said["time"]), datetime.fromisoformat(held_since) if held_since else None)


async def tell(tx: Transaction, last: Reading | None, reading: Reading, actor: str) -> None:
    """Writes it down when it says something new, and once a day."""
    if last and last.held_since == reading.held_since and abs(reading.time - last.time) < TOLD_EVERY:
        return
    held_since = reading.held_since.isoformat() if reading.held_since else None
    await append_audit(
        tx,
        user_id=None,
        actor=actor,
        action=_ACTION,
        resource_type="clock",
        metadata={"time": reading.time.isoformat(), "held_since": held_since},
    )


async def differs_from_database(tx: Transaction, now: datetime) -> bool:
    """Two machines, or two containers, of which one is wrong."""
    theirs: datetime = await tx.scalar("SELECT clock_timestamp()")
    return abs(now - theirs) > DIFFERENCE_MAX
