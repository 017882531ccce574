"""How much a device or a person may send."""


class Allowance:
    """A token bucket that may be overdrawn.

    What a message holds is known only when it has come, so it is paid for then; who owes isn't listened to until the
    debt is paid. Source of the method: J. Turner, "New directions in communications", IEEE Communications Magazine 24
    (1986). Times are in microseconds.
    """

    def __init__(self, per_second: float, burst: float) -> None:
        self._per_second = per_second
        self._burst = burst
        self._balance = burst
        self._time = 0

    @property
    def is_overdrawn(self) -> bool:
        """As of the last time that anything was asked."""
        return self._balance < 0

    def spend(self, predictions: int, now: int) -> None:
        self._earn(now)
        self._balance -= predictions

    def debt_seconds(self, now: int) -> float:
        """Until it is paid; 0 when nothing is owed."""
        self._earn(now)
        return max(-self._balance, 0.0) / self._per_second

    def is_full(self, now: int) -> bool:
        """As if nothing had ever been spent."""
        self._earn(now)
        return self._balance >= self._burst

    def _earn(self, now: int) -> None:
        """A clock that is set back takes nothing away; it earns again from where it is."""
        if now > self._time:
            self._balance = min(self._burst, self._balance + (now - self._time) * self._per_second / 1e6)
        self._time = now
