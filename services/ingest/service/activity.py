"""Whom this process hears: open streams, and who called since it was last written down."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import NamedTuple
from uuid import UUID

from services.ingest.clock_skew import ClockEstimate
from services.ingest.senders import Sender
from services.ingest.service.stream import PredictionStream
from services.ingest.sessions import Session
from services.ingest.store.clocks import ClockKey

# session_id, sender_id
Heard = tuple[UUID, UUID]


class Presence(NamedTuple):
    """An open stream: of which session, and whose."""

    session: Session
    sender: Sender
    stream: PredictionStream

    @property
    def heard(self) -> Heard:
        return self.session.key.session_id, self.sender.sender_id


class Activity:
    def __init__(self) -> None:
        self.streams: set[Presence] = set()
        self._heard: set[Heard] = set()
        # Estimates of clocks that are to be written down, and those that were, of open streams.
        self._clocks: dict[ClockKey, ClockEstimate] = {}
        self._written: dict[PredictionStream, ClockEstimate] = {}

    @contextmanager
    def present(self, session: Session, sender: Sender, stream: PredictionStream) -> Iterator[None]:
        presence = Presence(session, sender, stream)
        self.streams.add(presence)
        try:
            yield
        finally:
            self._look_at_clock(presence)
            self.streams.discard(presence)
            self._written.pop(stream, None)
            self._heard.add(presence.heard)

    def heard(self, session: Session, sender: Sender) -> None:
        self._heard.add((session.key.session_id, sender.sender_id))

    def take(self) -> set[Heard]:
        """Whoever was heard since the last time."""
        heard, self._heard = self._heard, set()
        return heard | {presence.heard for presence in self.streams}

    def take_clocks(self) -> dict[ClockKey, ClockEstimate]:
        """Estimates that changed since the last time by as much as is worth writing down."""
        for presence in self.streams:
            self._look_at_clock(presence)
        clocks, self._clocks = self._clocks, {}
        return clocks

    def _look_at_clock(self, presence: Presence) -> None:
        estimate = presence.stream.heartbeats.clock.estimate
        if estimate is not None and estimate.differs_from(self._written.get(presence.stream)):
            self._clocks[presence.session.key.user_id, presence.sender.sender_id] = estimate
            self._written[presence.stream] = estimate

    def put_back(self, heard: Collection[Heard]) -> None:
        """They couldn't be written down."""
        self._heard.update(heard)
