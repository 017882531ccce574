"""The state of one session as the fold over fusion's feed leaves it."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

from services.patterns.facts import FusedBatch, SettledSession
from services.patterns.levels import Level
from services.patterns.summary import Summary

# Up to here every batch is summarised anew; later a session is summarised when it has grown by an eighth, and when it
# settles, so that all summaries of a session together cost a fixed number of its lengths.
ALWAYS_SUMMARISED_RESULTS = 16


@dataclass(frozen=True, slots=True)
class Session:
    """`facts_ordinal`: the newest of ingest's batches that fusion's feed has spoken of; later facts don't count yet.
    `level`, `session_score`: fusion's, at the newest chunk by capture. `critical_cue`: a critical text cue was heard,
    and fusion has held the level critical since."""

    user_id: UUID
    session_id: UUID
    newest_capture_time: datetime
    newest_chunk_id: UUID
    level: Level = Level.LOW
    session_score: float = 0.0
    critical_cue: bool = False
    facts_ordinal: int = 0
    results_seen: int = 0
    next_summary_at: int = 0
    end_time: datetime | None = None
    summary: Summary = field(default_factory=Summary)

    @property
    def settled(self) -> bool:
        return self.end_time is not None

    @property
    def calm(self) -> bool:
        """May teach the person's normal: it is over, and fusion never saw more than a low risk in it."""
        return self.settled and self.summary.highest_level is Level.LOW

    @property
    def summary_due(self) -> bool:
        return self.settled or self.results_seen >= self.next_summary_at

    def summarised(self, summary: Summary) -> "Session":
        seen = self.results_seen
        growth = 1 if seen < ALWAYS_SUMMARISED_RESULTS else seen // 8
        return replace(self, summary=summary, next_summary_at=seen + growth)


def with_batch(session: Session | None, batch: FusedBatch, facts_ordinal: int) -> Session:
    """The session after a client batch; `session` is None before its first. The batch has at least one chunk."""
    newest = max(batch.chunks, key=lambda chunk: chunk.order)
    if session is None:
        session = Session(batch.user_id, batch.session_id, newest.capture_end_time, newest.chunk_id)
    if newest.order >= (session.newest_capture_time, session.newest_chunk_id):
        session = replace(
            session,
            newest_capture_time=newest.capture_end_time,
            newest_chunk_id=newest.chunk_id,
            level=newest.level,
            session_score=newest.session_score,
        )
    cue_heard = session.critical_cue or any(chunk.critical_cue for chunk in batch.chunks)
    return replace(
        session,
        critical_cue=cue_heard and session.level is Level.CRITICAL,
        facts_ordinal=max(session.facts_ordinal, facts_ordinal),
        results_seen=session.results_seen + len(batch.chunks),
    )


def is_summarised_within(session: Session | None, events: Sequence[FusedBatch | SettledSession]) -> bool:
    """Whether a summary is due at any of the session's next events."""
    results = sum(len(event.chunks) for event in events if isinstance(event, FusedBatch))
    ends = any(isinstance(event, SettledSession) for event in events)
    return session is None or ends or replace(session, results_seen=session.results_seen + results).summary_due


def with_end(session: Session, settled: SettledSession, facts_ordinal: int) -> Session:
    return replace(session, end_time=settled.end_time, facts_ordinal=max(session.facts_ordinal, facts_ordinal))
