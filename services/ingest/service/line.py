"""What was received and nobody has read yet: each device stands in line once, however much it sends."""

from collections import deque
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from services.ingest.service.committer import Lane

# What a device may have ready for the next group. A batch that is larger goes whole.
TURN_PREDICTIONS = 64

# Whose it is, the message, and when it came, in microseconds since 1970. A bare tuple, since there is one a message.
Received: TypeAlias = tuple["Lane", bytes, int]


class Place:
    """One device's place in line: what waits, and how many predictions of it are ready for the next group."""

    __slots__ = ("is_in_line", "ready_predictions", "waiting", "waiting_bytes")

    def __init__(self) -> None:
        self.waiting: deque[Received] = deque()
        self.waiting_bytes = 0
        self.ready_predictions = 0
        self.is_in_line = False

    def spend(self, predictions: int, now: int) -> None:
        """So many were taken. `now` in microseconds since 1970."""


class Line:
    """A device leaves the line when it has had its turn, and comes back when a group has taken what was ready."""

    def __init__(self) -> None:
        self._places: deque[Place] = deque()
        # Of the devices in line.
        self.size_bytes = 0

    def __bool__(self) -> bool:
        return bool(self._places)

    def add(self, place: Place, received: Received) -> None:
        size = len(received[1])
        place.waiting.append(received)
        place.waiting_bytes += size
        if place.is_in_line:
            self.size_bytes += size
        else:
            self._join(place)

    def next(self) -> Received | None:
        """The next message of the first device whose turn isn't over. None when nobody's is."""
        while self._places:
            place = self._places[0]
            if place.waiting and place.ready_predictions < TURN_PREDICTIONS:
                received = place.waiting.popleft()
                size = len(received[1])
                place.waiting_bytes -= size
                self.size_bytes -= size
                return received
            self._places.popleft()
            place.is_in_line = False
            self.size_bytes -= place.waiting_bytes
        return None

    def taken(self, place: Place, predictions: int) -> None:
        """So many that were ready are so no more."""
        place.ready_predictions -= predictions
        if not place.is_in_line:
            self._join(place)

    def _join(self, place: Place) -> None:
        if place.waiting and place.ready_predictions < TURN_PREDICTIONS:
            place.is_in_line = True
            self.size_bytes += place.waiting_bytes
            self._places.append(place)
