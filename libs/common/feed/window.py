"""The newest batches of one partition, in memory: consecutive, bounded in bytes, pure."""

from typing import Final

from libs.common.feed.outbox import Batch

# What a reader holds at once: no more batches, and no more bytes but for the last batch.
MAX_READ_BATCHES: Final = 1024
MAX_READ_BYTES: Final = 4 * 1024 * 1024


class Window:
    """The run of batches that ends at `head`, the newest position that is known to be committed. None: not known."""

    def __init__(self, max_bytes: int) -> None:
        self.head: int | None = None
        self._max_bytes = max_bytes
        self._bytes = 0
        self._batches: dict[int, Batch] = {}

    def start_at(self, head: int) -> None:
        """Holds nothing yet; takes what follows the head."""
        self.forget()
        self.head = head

    def forget(self) -> None:
        self.head = None
        self._bytes = 0
        self._batches.clear()

    def append(self, batch: Batch) -> bool:
        """Takes the batch if it is the next one. False when something before it is missing."""
        if self.head is None or batch.position > self.head + 1:
            return False
        if batch.position == self.head + 1:
            self.head = batch.position
            self._batches[batch.position] = batch
            self._bytes += len(batch.payload)
            self._drop_oldest()
        return True

    def after(self, position: int) -> list[Batch] | None:
        """What follows the position, as much as a reader should hold at once; None when that isn't in memory."""
        if self.head is None:
            return None
        if position >= self.head:
            return []
        if position + 1 not in self._batches:
            return None
        found: list[Batch] = []
        size = 0
        for wanted in range(position + 1, min(self.head, position + MAX_READ_BATCHES) + 1):
            found.append(self._batches[wanted])
            size += len(found[-1].payload)
            if size >= MAX_READ_BYTES:
                break
        return found

    def _drop_oldest(self) -> None:
        while self._bytes > self._max_bytes:
            oldest = self._batches.pop(next(iter(self._batches)))
            self._bytes -= len(oldest.payload)
