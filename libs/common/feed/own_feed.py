"""Whether the slice still is the one that this process began with."""

from uuid import UUID


class SliceEmptiedError(Exception):
    """The slice was emptied, or built anew, and tells another feed. What this process has in memory is of what is gone:
    it has to end, and the next one begins.
    """


class OwnFeed:
    def __init__(self) -> None:
        self._feed_id: UUID | None = None

    def check(self, feed_id: UUID) -> None:
        """Raises SliceEmptiedError for another one than the first."""
        if self._feed_id is None:
            self._feed_id = feed_id
        if self._feed_id != feed_id:
            raise SliceEmptiedError
