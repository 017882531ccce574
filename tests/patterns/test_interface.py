import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from services.patterns.assessment import Verdict
from services.patterns.changes import NO_LONGER_NEEDED, Change, changes_between
from services.patterns.interface import CRISIS_HELP, DEFAULT_STRUCTURE, Prominence, Structure, Theme, with_invariants
from services.patterns.levels import Level
from services.patterns.pattern import CurrentState, Pattern, Trajectory
from services.patterns.rules import RULES_FILE, Rules, current_rules, structure_of

RULES = current_rules()
COMPONENTS = [CRISIS_HELP, "journal", "progress", "breathing", "grounding"]


def pattern(
    level: Level = Level.LOW,
    trajectory: Trajectory = Trajectory.STABLE,
    emotion: str = "neutral",
    masking: float | None = None,
    deflection: float | None = None,
) -> Pattern:
    return Pattern(
        sessions_analyzed=9,
        data_confidence=0.6,
        primary_emotions=(emotion,),
        emotions={emotion: 1.0},
        trajectory=trajectory,
        trajectory_confidence=0.9,
        variability=0.1,
        primary_language="en",
        code_switching=False,
        deflection_phrases=(),
        deflection_frequency=deflection,
        triggers=(),
        masking_share=masking,
        masking_strength=None,
        current=Verdict(level, 0.5, ()),
        state=CurrentState.STABLE,
    )


def interface_for(**known: object) -> Structure:
    return structure_of(RULES.matching(pattern(**known)))  # type: ignore[arg-type]


patterns = st.builds(
    pattern,
    level=st.sampled_from(Level),
    trajectory=st.sampled_from(Trajectory),
    emotion=st.sampled_from(["neutral", "sad", "fear", "happy"]),
    masking=st.none() | st.floats(0, 1),
    deflection=st.none() | st.floats(0, 1),
)
# Rules as a careless author could write them: hiding crisis help, showing nothing, asking for no prominence.
careless_rules = st.lists(
    st.fixed_dictionaries(
        {"id": st.uuids().map(str), "reason": st.just("because"), "when": st.just({})},
        optional={
            "theme": st.sampled_from([theme.value for theme in Theme]),
            "crisis_prominence": st.sampled_from([prominence.word for prominence in Prominence]),
            "show": st.lists(st.sampled_from(COMPONENTS), max_size=4),
            "hide": st.lists(st.sampled_from(COMPONENTS), max_size=4),
        },
    ),
    max_size=4,
)


def assert_help_is_reachable(structure: Structure) -> None:
    assert structure.primary_components.count(CRISIS_HELP) == 1
    assert CRISIS_HELP not in structure.hidden_components
    assert structure.crisis_prominence in Prominence
    if structure.crisis_prominence >= Prominence.TOP:
        assert structure.primary_components[0] == CRISIS_HELP


@given(rules=careless_rules, known=patterns)
def test_crisis_help_is_always_reachable_whatever_the_rules(rules: list[dict[str, object]], known: Pattern) -> None:
    careless = Rules.model_validate_json(json.dumps({"version": "careless", "rules": rules}))
    assert_help_is_reachable(structure_of(careless.matching(known)))


@given(known=patterns)
def test_crisis_help_is_always_reachable_by_our_rules(known: Pattern) -> None:
    structure = structure_of(RULES.matching(known))
    assert_help_is_reachable(structure)
    assert (
        structure.crisis_prominence
        >= {
            Level.LOW: Prominence.SIDEBAR,
            Level.MEDIUM: Prominence.CARD,
            Level.HIGH: Prominence.TOP,
            Level.CRITICAL: Prominence.MODAL,
        }[known.current.level]
    )
    assert not set(structure.primary_components) & set(structure.hidden_components)


def test_the_default_keeps_the_invariants() -> None:
    assert with_invariants(DEFAULT_STRUCTURE) == DEFAULT_STRUCTURE


def test_no_rule_can_hide_crisis_help() -> None:
    document = json.loads(RULES_FILE.read_bytes())
    document["rules"][0]["crisis_prominence"] = "hidden"
    with pytest.raises(ValidationError, match="not one of"):
        Rules.model_validate_json(json.dumps(document))


def test_rules_have_ids_of_their_own_and_themes_of_the_schema() -> None:
    assert len({rule.id for rule in RULES.rules}) == len(RULES.rules)


def test_calm_and_crisis() -> None:
    calm, crisis = interface_for(), interface_for(level=Level.CRITICAL, emotion="sad")
    assert (calm.theme, calm.crisis_prominence) == (Theme.STABLE, Prominence.SIDEBAR)
    assert (crisis.theme, crisis.crisis_prominence) == (Theme.CRISIS, Prominence.MODAL)
    assert crisis.rule_ids[0] == "crisis"
    assert "progress" in crisis.hidden_components


def test_what_is_unknown_matches_no_rule_that_asks_for_it() -> None:
    assert "masking" not in interface_for().rule_ids
    assert "masking" in interface_for(masking=0.5).rule_ids


def test_a_rise_is_told_with_its_reason_and_so_is_the_return() -> None:
    matching = RULES.matching(pattern(level=Level.CRITICAL))
    calm, crisis = interface_for(), structure_of(matching)
    changes = changes_between(calm, crisis, matching)
    assert changes[0] == Change("risk_escalation", CRISIS_HELP, matching[0].reason)
    assert Change("theme_changed", "", matching[0].reason) in changes
    assert Change("feature_hidden", "progress", matching[0].reason) in changes
    back = changes_between(crisis, calm, RULES.matching(pattern()))
    assert back[0] == Change("risk_de_escalation", CRISIS_HELP, NO_LONGER_NEEDED)
    assert {change.change_type for change in back} >= {"theme_changed", "feature_added", "feature_hidden"}


@given(old=patterns, new=patterns)
def test_every_component_change_is_told_once(old: Pattern, new: Pattern) -> None:
    matching = RULES.matching(new)
    before, after = structure_of(RULES.matching(old)), structure_of(matching)
    changes = changes_between(before, after, matching)
    added = {change.component for change in changes if change.change_type == "feature_added"}
    assert added >= set(after.primary_components) - set(before.primary_components)
    assert len({(change.change_type, change.component) for change in changes}) == len(changes)
    assert all(change.reason for change in changes)
    assert changes_between(after, after, matching) == ()
