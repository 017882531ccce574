"""What the live sessions of an app say of themselves: which modalities run, and up to when each has captured."""

from collections.abc import Iterable
from datetime import UTC, datetime

from quietus.common.v1.types_pb2 import Modality
from quietus.ingest.v1.sessions_pb2 import Heartbeat, ModalityHeartbeat, ModalityState
from quietus_edge.errors import InvalidInputError
from quietus_edge.messages import timestamp

MODALITIES = ("vision", "audio", "text")
STATES = ("running", "off", "failed")


class _Session:
    def __init__(self) -> None:
        self.states: dict[str, str] = {}
        self.captured_until: dict[str, datetime] = {}


class Vitals:
    """By the sessions' keys in the spool. A session is live here while it has modalities that were registered."""

    def __init__(self) -> None:
        self._sessions: dict[int, _Session] = {}

    def is_live(self, key: int) -> bool:
        return key in self._sessions

    def set_state(self, key: int, modality: str, state: str) -> None:
        check(modality, state)
        self._sessions.setdefault(key, _Session()).states[modality] = state

    def captured(self, key: int, modalities: Iterable[str], until: datetime) -> None:
        if session := self._sessions.get(key):
            for modality in modalities:
                session.captured_until[modality] = max(until, session.captured_until.get(modality, until))

    def forget(self, key: int) -> None:
        self._sessions.pop(key, None)

    def heartbeat(self, key: int, round_trip_seconds: float | None) -> Heartbeat:
        """Of a live session."""
        session = self._sessions[key]
        heartbeat = Heartbeat(client_time=timestamp(datetime.now(UTC)))
        if round_trip_seconds is not None:
            heartbeat.round_trip_seconds = round_trip_seconds
        heartbeat.modalities.extend(_said(name, state, session) for name, state in session.states.items())
        return heartbeat


def check(modality: str, state: str) -> None:
    """InvalidInputError for a name that no service knows."""
    if modality not in MODALITIES:
        raise InvalidInputError(f"modality is none of {', '.join(MODALITIES)}")
    if state not in STATES:
        raise InvalidInputError(f"state is none of {', '.join(STATES)}")


def _said(name: str, state: str, session: _Session) -> ModalityHeartbeat:
    until = session.captured_until.get(name)
    return ModalityHeartbeat(
        modality=Modality.Value(f"MODALITY_{name.upper()}"),
        state=ModalityState.Value(f"MODALITY_STATE_{state.upper()}"),
        last_capture_time=timestamp(until) if until else None,
    )
