from dataclasses import replace

from services.patterns.facts import SettledSession
from services.patterns.interface import Prominence
from services.patterns.levels import Level
from services.patterns.method import current_method
from services.patterns.person import Known, Person
from services.patterns.records import InterfaceGenerated, RiskAssessed
from services.patterns.rules import current_rules
from services.patterns.session import with_end
from tests.patterns.make import USER, at, number_id, session


def someone(**known: object) -> Person:
    return Person(USER, Known(**known), current_method(), current_rules())  # type: ignore[arg-type]


def test_a_first_calm_session_is_assessed_once_and_has_no_pattern_until_it_settles() -> None:
    person = someone()
    current = session(1, 0.2, settled=False)
    for score in (0.2, 0.205, 0.195):
        person.fold(replace(current, session_score=score), at(0), settling=False)
    assert [type(told) for told in person.folded.told] == [RiskAssessed]
    assert person.folded.patterns == []

    person.fold(with_end(current, SettledSession(USER, number_id(1), at(5), at(6)), 1), at(6), settling=True)
    (pattern,) = person.folded.patterns
    assert (pattern.version, pattern.pattern.sessions_analyzed) == (1, 1)
    assert person.folded.interfaces[0].version == "1.1"
    assert person.folded.baselines["session_score"].sessions == 1
    assert not person.folded.baselines["session_score"].established


def test_a_material_change_makes_a_revision_and_a_small_one_does_not() -> None:
    person = someone()
    for score in (0.2, 0.209, 0.2109, 0.3):
        person.fold(session(1, score, settled=False), at(0), settling=False)
    revisions = [told.record.revision for told in person.folded.told if isinstance(told, RiskAssessed)]
    assert revisions == [1, 2, 3]
    assert person.folded.assessments[number_id(1)].assessment.verdict.score > 0.25


def test_a_rise_changes_the_interface_at_once_and_a_fall_waits_for_the_end() -> None:
    person = someone()
    person.fold(session(1, 0.2, settled=False), at(0), settling=False)
    person.fold(session(1, 0.9, level=Level.CRITICAL, settled=False), at(1), settling=False)
    person.fold(session(1, 0.2, settled=False), at(2), settling=False)
    person.fold(session(1, 0.9, level=Level.CRITICAL, settled=False), at(3), settling=False)
    (interface,) = person.folded.interfaces
    assert interface.structure.crisis_prominence is Prominence.MODAL
    assert {change.change.change_type for change in person.folded.changes} >= {"risk_escalation", "theme_changed"}
    told = [type(one) for one in person.folded.told]
    assert told == [RiskAssessed, RiskAssessed, InterfaceGenerated, RiskAssessed, RiskAssessed]

    person.fold(session(1, 0.2), at(4), settling=True)
    assert person.folded.interfaces[-1].structure.crisis_prominence is not Prominence.MODAL
    assert [record.version for record in person.folded.interfaces] == ["1.1", "2.2"]


def test_an_unchanged_interface_is_not_made_again() -> None:
    person = someone()
    for number in range(3):
        person.fold(session(number, 0.1), at(number), settling=True)
    assert [pattern.version for pattern in person.folded.patterns] == [1, 2, 3]
    assert len(person.folded.interfaces) == 1


def test_a_late_session_is_assessed_against_those_before_it_alone() -> None:
    person = someone()
    for number in (0, 1, 2, 3, 4, 6):
        person.fold(session(number, 0.1), at(number), settling=True)
    later = person.folded.assessments[number_id(6)]
    person.fold(session(5, 0.1), at(9), settling=True)
    late = person.folded.assessments[number_id(5)].assessment
    assert late.baseline_sessions == 5
    assert person.folded.assessments[number_id(6)] is later
    assert person.folded.baselines["session_score"].sessions == 7
    assert person.folded.patterns[-1].generate_time == session(6).newest_capture_time


def test_a_pattern_knows_nothing_of_sessions_before_its_window() -> None:
    """A late batch of an old session brings it to memory, and with it what came before."""
    window = current_method().baseline.window_sessions
    sessions = {number_id(number): session(number) for number in range(1, window + 2)}
    old = replace(session(0), newest_capture_time=at(10**6))
    first, second = someone(sessions=sessions), someone(sessions={number_id(0): old, **sessions})
    for person in (first, second):
        person.fold(session(window + 2), at(0), settling=True)
    assert second.folded.patterns == first.folded.patterns


def test_the_same_fold_makes_the_same_records() -> None:
    def fold() -> Person:
        person = someone()
        for number, score in enumerate((0.1, 0.2, 0.1, 0.6, 0.9)):
            person.fold(session(number, score), at(number), settling=True)
        return person

    first, second = fold().folded, fold().folded
    assert first == second
    assert len({pattern.pattern_id for pattern in first.patterns}) == len(first.patterns)
    assert len({change.change_id for change in first.changes}) == len(first.changes)
