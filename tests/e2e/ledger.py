"""What devices sent, and what was acknowledged to them. Times are nanoseconds of one clock."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from uuid import UUID

BatchKey = tuple[UUID, int]


@dataclass(slots=True)
class Flight:
    """From the first sending of a batch to its acknowledgement."""

    sent: int
    acknowledged: int | None = None


class Ledger:
    def __init__(self, clock: Callable[[], int] = time.time_ns) -> None:
        self._clock = clock
        self._flights: dict[BatchKey, Flight] = {}
        self.in_flight: set[BatchKey] = set()
        self.acknowledged: set[BatchKey] = set()
        # That were open, and ended with an error.
        self.broken_streams = 0

    def send(self, session_id: UUID, number: int) -> None:
        """Sending again doesn't count anew."""
        if (session_id, number) not in self._flights:
            self._flights[session_id, number] = Flight(self._clock())
            self.in_flight.add((session_id, number))

    def acknowledge(self, session_id: UUID, numbers: Iterable[int]) -> None:
        """The first word of a batch counts."""
        now = self._clock()
        for key in self.in_flight & {(session_id, number) for number in numbers}:
            self._flights[key].acknowledged = now
            self.in_flight.discard(key)
            self.acknowledged.add(key)

    def in_flight_throughout(self, began: int, ended: int) -> bool:
        """Whether at every moment of the interval some batch was sent and not yet acknowledged."""
        covered_until = began
        for flight in sorted(self._flights.values(), key=lambda flight: flight.sent):
            if flight.sent > covered_until:
                break
            if flight.acknowledged is None or flight.acknowledged > ended:
                return True
            covered_until = max(covered_until, flight.acknowledged)
        return False
