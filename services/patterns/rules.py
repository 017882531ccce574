"""From a pattern to an interface: rules as data, in a versioned file."""

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict

from services.patterns.interface import Prominence, Structure, Theme, with_invariants
from services.patterns.levels import Level
from services.patterns.pattern import Pattern, Trajectory

RULES_FILE = Path(__file__).parent / "data" / "interface-1.json"


def _word_of(kind: type[Level] | type[Prominence]) -> BeforeValidator:
    def parse(value: object) -> object:
        try:
            return kind.of(value) if isinstance(value, str) else value
        except KeyError:
            raise ValueError(f"not one of {[member.word for member in kind]}") from None

    return BeforeValidator(parse)


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class When(_Data):
    """Everything that is named must hold; what nothing is known of doesn't. Nothing named always holds."""

    level_at_least: Annotated[Level, _word_of(Level)] = Level.LOW
    level_at_most: Annotated[Level, _word_of(Level)] = Level.CRITICAL
    trajectories: frozenset[Trajectory] | None = None
    leading_emotions: frozenset[str] | None = None
    masking_share_at_least: float | None = None
    deflection_at_least: float | None = None

    def holds(self, pattern: Pattern) -> bool:
        return (
            self.level_at_least <= pattern.current.level <= self.level_at_most
            and (self.trajectories is None or pattern.trajectory in self.trajectories)
            and (self.leading_emotions is None or not self.leading_emotions.isdisjoint(pattern.primary_emotions[:1]))
            and _reaches(pattern.masking_share, self.masking_share_at_least)
            and _reaches(pattern.deflection_frequency, self.deflection_at_least)
        )


class Rule(_Data):
    """`reason` is shown to the person, in neutral words."""

    id: str
    when: When
    reason: str
    theme: Theme | None = None
    crisis_prominence: Annotated[Prominence, _word_of(Prominence)] | None = None
    show: tuple[str, ...] = ()
    hide: tuple[str, ...] = ()


class Rules(_Data):
    """The first matching rule that has a theme decides it, and the strongest the prominence of crisis help. What any
    matching rule shows is shown, in the order of the rules, also when another hides it."""

    version: str
    rules: tuple[Rule, ...]

    def matching(self, pattern: Pattern) -> list[Rule]:
        return [rule for rule in self.rules if rule.when.holds(pattern)]


@cache
def current_rules() -> Rules:
    return Rules.model_validate_json(RULES_FILE.read_bytes())


def structure_of(matching: list[Rule]) -> Structure:
    shown = _once(component for rule in matching for component in rule.show)
    return with_invariants(
        Structure(
            theme=next((rule.theme for rule in matching if rule.theme), Theme.BALANCED),
            primary_components=shown,
            hidden_components=_once(name for rule in matching for name in rule.hide if name not in shown),
            crisis_prominence=max(
                (rule.crisis_prominence for rule in matching if rule.crisis_prominence), default=Prominence.SIDEBAR
            ),
            rule_ids=tuple(rule.id for rule in matching),
        )
    )


def _reaches(value: float | None, smallest: float | None) -> bool:
    return smallest is None or (value is not None and value >= smallest)


def _once(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))
