"""What a client tells its app: where things stand, what was refused, what went wrong."""

import asyncio
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

from quietus_edge.spool import Totals

State = Literal["idle", "sending", "unreachable", "blocked"]


@dataclass(frozen=True)
class Refused:
    """A prediction that the service took part in no way. `field` is a path such as vision.confidence."""

    session_id: str
    chunk_id: str
    modality: str
    field: str
    reason: str


@dataclass(frozen=True)
class Problem:
    """Something that waiting may not cure. `reason` is stable, such as BAD_CREDENTIALS; `message` is for people."""

    reason: str
    message: str
    session_id: str = ""


@dataclass(frozen=True)
class Status:
    """Where a client stands. Counts are of predictions, since the spool was made.

    `state` is idle (nothing waits), sending, unreachable (it tries again by itself) or blocked (see `reason`).
    `spool_went_back`: how often the spool was found to be an older one than it had been.
    """

    state: State
    reason: str
    waiting_predictions: int
    waiting_sessions: int
    spool_bytes: int
    acknowledged: int
    duplicates: int
    refused: dict[str, int]
    dropped: dict[str, int]
    transcripts_discarded: int
    can_seal: bool
    broken_spool_moved_to: str | None
    spool_went_back: int = 0
    clock_skew_seconds: float | None = None
    clock_uncertainty_seconds: float | None = None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Clock:
    """What has to be added to the device's clock to get the service's, in seconds, and how far that may be off; None
    when it wasn't measured.
    """

    skew_seconds: float
    uncertainty_seconds: float | None


class Reports:
    """Collects what the senders meet, and passes on what the app should hear. `changed` is set at every news."""

    def __init__(
        self, on_refused: Callable[[Refused], None] | None, on_problem: Callable[[Problem], None] | None
    ) -> None:
        self._on_refused = on_refused
        self._on_problem = on_problem
        self._unreachable = ""
        self.blocked: Problem | None = None
        self.clock: Clock | None = None
        self.changed = asyncio.Event()

    def progress(self) -> None:
        self._unreachable = ""
        self.blocked = None
        self.changed.set()

    def unreachable(self, reason: str) -> None:
        self._unreachable = reason
        self.changed.set()

    def refused(self, refused: Refused) -> None:
        if self._on_refused:
            self._on_refused(refused)

    def block(self, problem: Problem) -> None:
        """Sending pauses because of it."""
        self.blocked = problem
        self.tell(problem)

    def tell(self, problem: Problem) -> None:
        """It is dealt with, but the app should know."""
        self.changed.set()
        if self._on_problem:
            self._on_problem(problem)

    def status(self, totals: Totals, can_seal: bool, moved_to: str | None) -> Status:
        state: State = "sending" if totals.waiting_predictions else "idle"
        if self.blocked:
            state = "blocked"
        elif self._unreachable:
            state = "unreachable"
        return Status(
            state=state,
            reason=self.blocked.reason if self.blocked else self._unreachable,
            waiting_predictions=totals.waiting_predictions,
            waiting_sessions=totals.waiting_sessions,
            spool_bytes=totals.used_bytes,
            acknowledged=totals.count("acknowledged"),
            duplicates=totals.count("duplicates"),
            refused=totals.reasons("refused"),
            dropped=totals.reasons("dropped"),
            transcripts_discarded=totals.count("transcripts_discarded"),
            can_seal=can_seal,
            broken_spool_moved_to=moved_to,
            spool_went_back=totals.count("gone_back"),
            clock_skew_seconds=self.clock.skew_seconds if self.clock else None,
            clock_uncertainty_seconds=self.clock.uncertainty_seconds if self.clock else None,
        )
