"""The structure of the interface that a person should see, and what nothing can break in it."""

from dataclasses import dataclass, replace
from enum import IntEnum, StrEnum

CRISIS_HELP = "crisis_help"


class Theme(StrEnum):
    ANXIETY = "anxiety"
    DEPRESSION = "depression"
    CRISIS = "crisis"
    STABLE = "stable"
    BALANCED = "balanced"


class Prominence(IntEnum):
    """How prominent crisis help is. The schema's `hidden` has no member: no rule can ask for it."""

    SIDEBAR = 1
    CARD = 2
    TOP = 3
    MODAL = 4

    @property
    def word(self) -> str:
        return self.name.lower()

    @classmethod
    def of(cls, word: str) -> "Prominence":
        return cls[word.upper()]


@dataclass(frozen=True, slots=True)
class Structure:
    """What is shown, in order, and the rules that decided it."""

    theme: Theme
    primary_components: tuple[str, ...]
    hidden_components: tuple[str, ...]
    crisis_prominence: Prominence
    rule_ids: tuple[str, ...] = ()


DEFAULT_STRUCTURE = Structure(
    theme=Theme.BALANCED,
    primary_components=("mood_check", "journal", CRISIS_HELP),
    hidden_components=(),
    crisis_prominence=Prominence.CARD,
)


def with_invariants(structure: Structure) -> Structure:
    """Crisis help is always among the components, first where it is prominent, and never hidden: whatever rules say."""
    others = tuple(component for component in structure.primary_components if component != CRISIS_HELP)
    prominent = structure.crisis_prominence >= Prominence.TOP
    return replace(
        structure,
        primary_components=(CRISIS_HELP, *others) if prominent else (*others, CRISIS_HELP),
        hidden_components=tuple(component for component in structure.hidden_components if component != CRISIS_HELP),
    )
