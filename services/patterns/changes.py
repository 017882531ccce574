"""What differs between two interfaces, and why."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.patterns.interface import CRISIS_HELP, Structure
from services.patterns.rules import Rule

NO_LONGER_NEEDED = "The reason for the earlier arrangement no longer holds."


@dataclass(frozen=True, slots=True)
class Change:
    """One difference. `change_type` is one of the schema's; `component` is empty when it is about the whole."""

    change_type: str
    component: str
    reason: str


def changes_between(old: Structure, new: Structure, matching: Sequence[Rule]) -> tuple[Change, ...]:
    """From `old` to `new`, which the `matching` rules decided. Empty when only the order or the rules differ."""
    changes = []
    if new.crisis_prominence != old.crisis_prominence:
        kind = "risk_escalation" if new.crisis_prominence > old.crisis_prominence else "risk_de_escalation"
        deciding = [rule for rule in matching if rule.crisis_prominence == new.crisis_prominence]
        changes.append(Change(kind, CRISIS_HELP, _reason_of(deciding)))
    if new.theme != old.theme:
        deciding = [rule for rule in matching if rule.theme == new.theme]
        changes.append(Change("theme_changed", "", _reason_of(deciding)))
    return (*changes, *_component_changes(old, new, matching))


def _component_changes(old: Structure, new: Structure, matching: Sequence[Rule]) -> list[Change]:
    changes = []
    named = (*new.primary_components, *old.primary_components, *new.hidden_components, *old.hidden_components)
    for component in dict.fromkeys(named):
        before, after = _visibility(old, component), _visibility(new, component)
        if after > before:
            showing = [rule for rule in matching if component in rule.show]
            changes.append(Change("feature_added", component, _reason_of(showing)))
        elif after < before:
            hiding = [rule for rule in matching if component in rule.hide]
            changes.append(Change("feature_hidden", component, _reason_of(hiding)))
    return changes


def _visibility(structure: Structure, component: str) -> int:
    """2: shown; 1: left to the app; 0: hidden."""
    if component in structure.primary_components:
        return 2
    return 0 if component in structure.hidden_components else 1


def _reason_of(deciding: Sequence[Rule]) -> str:
    return deciding[0].reason if deciding else NO_LONGER_NEEDED
