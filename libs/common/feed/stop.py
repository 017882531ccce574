"""Why a follower can't go on by itself, and what someone has to do."""

from typing import Final

_REBUILD: Final = 'empty the slice, as docs/operations.md says under "Rebuild a slice": it refills by itself'
_UPGRADE: Final = "restart with a version that can read what the source tells"

ADVICE: Final = {
    "FEED_CHANGED": _REBUILD,
    "FEED_PRUNED": _REBUILD,
    "FEED_BEYOND_HEAD": _REBUILD,
    "BACKFILL_CUT_OFF": _REBUILD,
    "BACKFILL_NOT_OFFERED": "restore the source's feed: it has pruned what this slice never saw",
    "FEED_GAP": "the source sends batches out of order: repair it, then restart",
    "UNREADABLE_BATCH": _UPGRADE,
    "UNKNOWN_EVENT": _UPGRADE,
}


class FeedStoppedError(Exception):
    """A partition stops at this; other partitions and other feeds go on."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.advice = ADVICE[reason]
