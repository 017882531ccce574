"""What is kept of a person: each a row, named by its natural key and timed by capture."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from libs.common.ids import derived_id
from services.patterns.assessment import Assessment
from services.patterns.changes import Change
from services.patterns.interface import Structure
from services.patterns.levels import Level
from services.patterns.pattern import Pattern


@dataclass(frozen=True, slots=True)
class AssessmentRecord:
    """The newest assessment of a session. `revision` counts from 1; `highest_level` over all of them.
    `chunk_id` and `assess_time`: the session's newest chunk by capture."""

    user_id: UUID
    session_id: UUID
    revision: int
    assessment: Assessment
    highest_level: Level
    chunk_id: UUID
    assess_time: datetime


@dataclass(frozen=True, slots=True)
class PatternRecord:
    """One version of a person's pattern, from 1."""

    user_id: UUID
    version: int
    pattern: Pattern
    generate_time: datetime

    @property
    def pattern_id(self) -> UUID:
        return derived_id("pattern", self.user_id, self.version)


@dataclass(frozen=True, slots=True)
class InterfaceRecord:
    """One interface of a person; `number` counts them from 1. `version`: the pattern's version and the number."""

    user_id: UUID
    number: int
    pattern_id: UUID
    version: str
    structure: Structure
    generate_time: datetime

    @property
    def config_id(self) -> UUID:
        return derived_id("interface", self.user_id, self.number)


@dataclass(frozen=True, slots=True)
class ChangeRecord:
    """One change that an interface brought."""

    user_id: UUID
    config_id: UUID
    change: Change
    change_time: datetime

    @property
    def change_id(self) -> UUID:
        return derived_id("interface_change", self.config_id, self.change.change_type, self.change.component)


@dataclass(frozen=True, slots=True)
class RiskAssessed:
    """An assessment to tell the other services. `receive_time`: of the client batch that led to it."""

    record: AssessmentRecord
    receive_time: datetime


@dataclass(frozen=True, slots=True)
class InterfaceGenerated:
    """An interface to tell the other services."""

    record: InterfaceRecord


Told = RiskAssessed | InterfaceGenerated
