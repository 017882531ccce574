"""Who calls. The auth interceptor sets it; use cases get it handed down by their servicer."""

from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from quietus.common.v1.options_pb2 import ROLE_UNSPECIFIED, Role


@dataclass(frozen=True, slots=True)
class Caller:
    """What a verified token says."""

    user_id: UUID | None
    role: "Role.ValueType"
    scopes: frozenset[str]
    anonymous_id: str
    device_id: str | None
    service: str | None
    expires_at: datetime


NOBODY = Caller(
    user_id=None,
    role=ROLE_UNSPECIFIED,
    scopes=frozenset(),
    anonymous_id="",
    device_id=None,
    service=None,
    expires_at=datetime.max.replace(tzinfo=UTC),
)

_current: ContextVar[Caller] = ContextVar("caller")


def current_caller() -> Caller:
    """The caller of the running RPC; NOBODY in a public method. LookupError outside of an RPC."""
    return _current.get()


def set_current_caller(caller: Caller) -> None:
    """Every RPC runs in a task of its own, so that nothing has to be reset."""
    _current.set(caller)
