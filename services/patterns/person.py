"""One person in memory while events of fusion are folded, one after the other."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from services.patterns.assessment import Verdict, assess
from services.patterns.baseline import Baseline, normal_of
from services.patterns.changes import changes_between
from services.patterns.interface import DEFAULT_STRUCTURE, Structure
from services.patterns.levels import Level
from services.patterns.method import Method
from services.patterns.pattern import pattern_of
from services.patterns.records import (
    AssessmentRecord,
    ChangeRecord,
    InterfaceGenerated,
    InterfaceRecord,
    PatternRecord,
    RiskAssessed,
    Told,
)
from services.patterns.rules import Rules, structure_of
from services.patterns.session import Session


@dataclass(frozen=True, slots=True)
class Standing:
    """What the newest assessment of a session says."""

    revision: int
    verdict: Verdict
    highest_level: Level


@dataclass(frozen=True, slots=True)
class Known:
    """What the store knows of a person. `sessions` holds at least those to be touched, the newest of all, and the
    window before each of these; `standings` those of the touched and of the newest. `pattern_version` and
    `interface_number` are 0 before the first."""

    sessions: Mapping[UUID, Session] = field(default_factory=dict)
    standings: Mapping[UUID, Standing] = field(default_factory=dict)
    pattern_version: int = 0
    interface_number: int = 0
    structure: Structure = DEFAULT_STRUCTURE


@dataclass(slots=True)
class Folded:
    """What the fold made: only the newest of an assessment and of a baseline, but every pattern and interface.
    `established`: when a feature's baseline first was, within this fold."""

    sessions: dict[UUID, Session] = field(default_factory=dict)
    assessments: dict[UUID, AssessmentRecord] = field(default_factory=dict)
    baselines: dict[str, Baseline] = field(default_factory=dict)
    established: dict[str, datetime] = field(default_factory=dict)
    patterns: list[PatternRecord] = field(default_factory=list)
    interfaces: list[InterfaceRecord] = field(default_factory=list)
    changes: list[ChangeRecord] = field(default_factory=list)
    told: list[Told] = field(default_factory=list)


class Person:
    def __init__(self, user_id: UUID, known: Known, method: Method, rules: Rules) -> None:
        self.user_id = user_id
        self._sessions = dict(known.sessions)
        self._standings = dict(known.standings)
        self._pattern_version = known.pattern_version
        self._interface_number = known.interface_number
        self._structure = known.structure
        self._method = method
        self._rules = rules
        self.folded = Folded()

    def session(self, session_id: UUID) -> Session | None:
        return self._sessions.get(session_id)

    def fold(self, session: Session, receive_time: datetime, *, settling: bool) -> None:
        """Takes a session as one event of fusion left it. Sessions are ordered by their ids, which are UUIDv7.

        A late session is assessed against those before it, and the assessments of later sessions aren't rewritten.
        Baselines are renewed when a session is over, the pattern when one settles or rises.
        """
        self._sessions[session.session_id] = self.folded.sessions[session.session_id] = session
        risen = self._assess(session, receive_time)
        if session.settled:
            self._renew_baselines()
        if settling or risen:
            self._renew_pattern()

    def _assess(self, session: Session, receive_time: datetime) -> bool:
        """Whether the session's level rose above all that it had been assessed before."""
        assessment = assess(session, self._before(session.session_id), self._method)
        old = self._standings.get(session.session_id)
        if old is not None and not assessment.verdict.differs_materially(old.verdict, self._method):
            return False
        highest = old.highest_level if old else Level.LOW
        new = Standing(
            revision=old.revision + 1 if old else 1,
            verdict=assessment.verdict,
            highest_level=max(highest, assessment.verdict.level),
        )
        record = AssessmentRecord(
            user_id=self.user_id,
            session_id=session.session_id,
            revision=new.revision,
            assessment=assessment,
            highest_level=new.highest_level,
            chunk_id=session.newest_chunk_id,
            assess_time=session.newest_capture_time,
        )
        self._standings[session.session_id] = new
        self.folded.assessments[session.session_id] = record
        self.folded.told.append(RiskAssessed(record, receive_time))
        return new.highest_level > highest

    def _renew_baselines(self) -> None:
        for feature, baseline in normal_of(self._ordered(), self._method).baselines.items():
            self.folded.baselines[feature] = baseline
            if baseline.established:
                self.folded.established.setdefault(feature, baseline.update_time)

    def _renew_pattern(self) -> None:
        sessions = self._ordered()[-self._method.baseline.window_sessions :]
        current = self._standings[sessions[-1].session_id].verdict
        self._pattern_version += 1
        record = PatternRecord(
            user_id=self.user_id,
            version=self._pattern_version,
            pattern=pattern_of(sessions, current, self._method),
            generate_time=max(session.newest_capture_time for session in sessions),
        )
        self.folded.patterns.append(record)
        self._renew_interface(record)

    def _renew_interface(self, pattern: PatternRecord) -> None:
        matching = self._rules.matching(pattern.pattern)
        structure = structure_of(matching)
        changes = changes_between(self._structure, structure, matching)
        if self._interface_number and not changes:
            return
        self._structure = structure
        self._interface_number += 1
        record = InterfaceRecord(
            user_id=self.user_id,
            number=self._interface_number,
            pattern_id=pattern.pattern_id,
            version=f"{pattern.version}.{self._interface_number}",
            structure=structure,
            generate_time=pattern.generate_time,
        )
        self.folded.interfaces.append(record)
        self.folded.changes.extend(
            ChangeRecord(self.user_id, record.config_id, one, record.generate_time) for one in changes
        )
        self.folded.told.append(InterfaceGenerated(record))

    def _ordered(self) -> list[Session]:
        return [self._sessions[session_id] for session_id in sorted(self._sessions)]

    def _before(self, session_id: UUID) -> list[Session]:
        return [self._sessions[before] for before in sorted(self._sessions) if before < session_id]
