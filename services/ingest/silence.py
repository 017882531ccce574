"""When a modality of a running session is silent, and when it is back.

A modality shows that it runs by its predictions, or by a heartbeat that says so. It falls silent when a device says
that it is off or failed, or when it showed nothing for a while in which another modality did. What a device recorded
before and sends now doesn't end a silence: it is over when something is there that was captured after it began.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import IntEnum, StrEnum

from services.ingest.vocabulary import Modality


class State(IntEnum):
    """The numbers of the contract's ModalityState."""

    RUNNING = 1
    OFF = 2
    FAILED = 3


class Cause(StrEnum):
    NO_SIGN = "NO_SIGN"
    OFF = "OFF"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class Said:
    """What a device says of a modality: since when without a change, and last when, by the server's clock; its own
    clock then, and the end of its newest window.
    """

    state: State
    since: datetime
    at: datetime
    device_time: datetime | None
    captured_until: datetime | None

    def after(self, before: "Said | None") -> "Said":
        return replace(self, since=before.since) if before and before.state is self.state else self


@dataclass(frozen=True, slots=True)
class Silence:
    """`since_time` and `resume_time` are the device's, the receive times the server's."""

    modality: Modality
    since_time: datetime
    cause: Cause
    receive_time: datetime
    resume_time: datetime | None = None
    resume_receive_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of one modality of one session.

    `received`, `captured_until`: of its newest prediction. `said`: by the devices that are heard here. `running_time`:
    when any device was last heard saying that it runs. `lasting`: its silence, if it is silent.
    """

    received: datetime | None = None
    captured_until: datetime | None = None
    said: Sequence[Said] = ()
    running_time: datetime | None = None
    lasting: Silence | None = None

    @property
    def running(self) -> Said | None:
        return max((one for one in self.said if one.state is State.RUNNING), key=lambda one: one.at, default=None)

    @property
    def stopped(self) -> Said | None:
        return max((one for one in self.said if one.state is not State.RUNNING), key=lambda one: one.at, default=None)

    @property
    def said_to_run(self) -> datetime | None:
        return latest(self.running_time, self.running.at if self.running else None)

    @property
    def last_sign(self) -> datetime | None:
        return latest(self.received, self.said_to_run)

    @property
    def is_back(self) -> bool:
        """Of a silent one. Being said to run counts when it was said after the silence was found."""
        silence = self.lasting
        if silence is None:
            return False
        shown = self.captured_until is not None and self.captured_until > silence.since_time
        return shown or (self.running is not None and self.running.at > silence.receive_time)


def fallen(
    modality: Modality,
    known: Mapping[Modality, Evidence],
    listening_since: datetime,
    now: datetime,
    patience: timedelta,
) -> Cause | None:
    """Why a modality that isn't silent yet is silent now; None when it isn't.

    Words come when somebody speaks, so text is missed only after a device said that it runs.
    """
    mine = known[modality]
    last_sign, stopped = mine.last_sign, mine.stopped
    if stopped and (last_sign is None or last_sign <= stopped.since or now - last_sign > patience):
        return Cause(stopped.state.name)
    if last_sign is None or (modality is Modality.TEXT and mine.said_to_run is None):
        return None
    if now - max(last_sign, listening_since) <= patience:
        return None
    goes_on = any(
        other.last_sign is not None and now - other.last_sign <= patience
        for name, other in known.items()
        if name is not modality
    )
    return Cause.NO_SIGN if goes_on else None


def begin(mine: Evidence, session_start: datetime, boundary: datetime | None) -> datetime:
    """When a silence began, by the device's clock; after `boundary`, where the silence before it lay."""
    stopped = mine.stopped.captured_until if mine.stopped else None
    since = latest(mine.captured_until, stopped) or session_start
    return since if boundary is None or since > boundary else boundary + timedelta(microseconds=1)


def resume(silence: Silence, mine: Evidence, first_window: datetime | None) -> datetime:
    """When a silence ended, by the device's clock. `first_window`: start of the first window that ended after its
    beginning.
    """
    if first_window is not None:
        return max(silence.since_time, first_window)
    running = mine.running
    said = latest(running.captured_until, running.device_time) if running else None
    return max(silence.since_time, said or silence.since_time)


def latest(*times: datetime | None) -> datetime | None:
    return max((time for time in times if time is not None), default=None)
