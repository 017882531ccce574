"""What counselors and channels may do to an alert, and in which state."""

from enum import StrEnum

from libs.common.rpc.errors import AppError, ErrorKind


class State(StrEnum):
    TRIGGERED = "triggered"
    NOTIFIED = "notified"
    ACKNOWLEDGED = "acknowledged"
    RESPONDED = "responded"
    RESOLVED = "resolved"


class Act(StrEnum):
    """Also the kind of the event that it leaves."""

    NOTIFY = "notified"
    ACKNOWLEDGE = "acknowledged"
    RESPOND = "responded"
    RESOLVE = "resolved"


ALLOWED_FROM: dict[Act, frozenset[State]] = {
    Act.NOTIFY: frozenset({State.TRIGGERED}),
    Act.ACKNOWLEDGE: frozenset({State.TRIGGERED, State.NOTIFIED}),
    # Whoever reached the person first may say so, also without having acknowledged before.
    Act.RESPOND: frozenset({State.TRIGGERED, State.NOTIFIED, State.ACKNOWLEDGED}),
    Act.RESOLVE: frozenset({State.TRIGGERED, State.NOTIFIED, State.ACKNOWLEDGED, State.RESPONDED}),
}


def after(state: State, act: Act) -> State:
    """The state that the act leads to. FAILED_PRECONDITION ALERT_STATE when the state doesn't allow it."""
    if state not in ALLOWED_FROM[act]:
        raise AppError(ErrorKind.FAILED_PRECONDITION, "ALERT_STATE", metadata={"state": state.value})
    return State(act.value)
