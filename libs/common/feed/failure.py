"""Whose fault it is that events could not be applied, and what may be said of it."""

from enum import Enum, auto

from libs.common.db.errors import DRIVER_ERRORS, to_app_error
from libs.common.observability.failure import own_frames, place_of
from libs.common.rpc.errors import AppError, ErrorKind


class Fault(Enum):
    EVENT = auto()
    """What the event holds, or what the handler makes of it."""
    CONTENTION = auto()
    """Somebody else was in the way; nothing was committed and trying again at once may help."""
    OUTAGE = auto()
    """The database is away. What was sent to it may have been committed."""


def fault_of(error: Exception, *, connection_lost: bool = False) -> Fault:
    if isinstance(error, DRIVER_ERRORS):
        error = to_app_error(error, connection_lost=connection_lost)
    if not isinstance(error, AppError) or error.kind is not ErrorKind.UNAVAILABLE:
        return Fault.EVENT
    return Fault.CONTENTION if error.reason == "DATABASE_BUSY" else Fault.OUTAGE


def reason_to_park(error: Exception) -> str:
    """The error's type and line, such as ValueError at services/fusion/fold.py:41; its text may hold data."""
    name = error.reason if isinstance(error, AppError) else type(error).__name__
    frames = own_frames(error)
    return f"{name} at {place_of(frames[-1])}" if frames else name
