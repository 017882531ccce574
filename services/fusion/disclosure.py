"""What of a comparison is told, and to whom: everything to who works on the database anyway, and to others counts of
many people alone.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from services.fusion.comparison import Change, LevelCounts, Report
from services.fusion.vocabulary import Level

ALL_CHANGES: tuple[Change, ...] = tuple((stored, candidate) for stored in Level for candidate in Level)

Counts = Mapping[Change, int | None]  # of all changes; None for a count that is withheld


@dataclass(frozen=True, slots=True)
class Findings:
    """By the contract's names."""

    sessions: int
    expired_sessions: int
    total_sessions: int
    done: bool
    chunks: int = 0
    chunk_levels: Counts = field(default_factory=dict)
    session_levels: Counts = field(default_factory=dict)
    mean_score_change: float = 0.0
    mean_session_score_change: float = 0.0

    @property
    def newly_alerting_sessions(self) -> int:
        """Sessions that would reach a level that opens an alert, and didn't; those that are told."""
        return self._sessions_where(lambda stored, candidate: stored < Level.HIGH <= candidate)

    @property
    def no_longer_alerting_sessions(self) -> int:
        return self._sessions_where(lambda stored, candidate: candidate < Level.HIGH <= stored)

    def _sessions_where(self, holds: Callable[[Level, Level], bool]) -> int:
        return sum(count for change, count in self.session_levels.items() if count is not None and holds(*change))

    @property
    def numbers(self) -> dict[str, Any]:
        """All but the levels and how far the comparison is."""
        return {
            "sessions": self.sessions,
            "chunks": self.chunks,
            "expired_sessions": self.expired_sessions,
            "newly_alerting_sessions": self.newly_alerting_sessions,
            "no_longer_alerting_sessions": self.no_longer_alerting_sessions,
            "mean_score_change": self.mean_score_change,
            "mean_session_score_change": self.mean_session_score_change,
        }


def everything(report: Report) -> Findings:
    return _findings(report, _all_counts)


def of_many(report: Report) -> Findings:
    """Before the report is done nothing but how far it is: two reports would tell what came between them."""
    if report.done:
        return _findings(report, _counts_of_many)
    return Findings(report.tally.sessions, report.tally.expired_sessions, report.total_sessions, done=False)


def _findings(report: Report, told: Callable[[LevelCounts], Counts]) -> Findings:
    tally = report.tally
    return Findings(
        sessions=tally.sessions,
        expired_sessions=tally.expired_sessions,
        total_sessions=report.total_sessions,
        done=report.done,
        chunks=tally.chunks,
        chunk_levels=told(tally.chunk_levels),
        session_levels=told(tally.session_levels),
        mean_score_change=tally.score_change / tally.chunks if tally.chunks else 0.0,
        mean_session_score_change=tally.session_score_change / tally.chunks if tally.chunks else 0.0,
    )


def _all_counts(levels: LevelCounts) -> Counts:
    return {change: levels.counts[change] for change in ALL_CHANGES}


def _counts_of_many(levels: LevelCounts) -> Counts:
    withheld = levels.withheld()
    return {change: None if change in withheld else levels.counts[change] for change in ALL_CHANGES}
