"""Courses say the same as a fold under other thresholds; proposals lose no true alarm that is known."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from services.fusion.outcomes import CaseOutcome, Ending, Reason
from services.fusion.science.fuse import fuse_chunks
from services.fusion.science.inputs import ChunkInputs, InputArrays
from services.fusion.science.model import FusionModel
from services.fusion.science.session_state import START, SessionState, advance
from services.fusion.thresholds import (
    FALSE_PEOPLE_NEEDED,
    MARGIN,
    MOST_LOST_SHARE,
    TRUE_PEOPLE_NEEDED,
    Case,
    Course,
    Decided,
    Standing,
    Thresholds,
    decided,
    effect_of,
    noise,
    propose,
    scores_alike,
    wilson_interval,
)
from services.fusion.vocabulary import Level
from tests.fusion import make
from tests.fusion.make import MODEL, any_chunk

CURRENT = Thresholds.of(MODEL.session)


def under(thresholds: Thresholds) -> FusionModel:
    """The model with other thresholds."""
    enter = {**MODEL.session.enter, "high": thresholds.enter_high, "critical": thresholds.enter_critical}
    leave = {**MODEL.session.leave, "high": thresholds.leave_high, "critical": thresholds.leave_critical}
    return replace(MODEL, session=replace(MODEL.session, enter=enter, leave=leave))


def states(model: FusionModel, chunks: Sequence[ChunkInputs]) -> list[SessionState]:
    state, found = START, []
    for one, fused in zip(chunks, fuse_chunks(model, InputArrays.of(chunks)), strict=True):
        state = advance(model, state, one, fused)
        found.append(state)
    return found


def course_of(some: Sequence[SessionState]) -> Course:
    scores: list[float] = []
    times: list[datetime] = []
    for state in some:
        if not scores or state.score > scores[-1]:
            scores.append(state.score)
            times.append(moment_of(state))
    warning = next((moment_of(state) for state in some if state.high_until), None)
    crisis = next((moment_of(state) for state in some if state.critical_until), None)
    return Course(make.SESSION_ID, make.USER_ID, scores, times, warning, crisis, is_comparable=True)


def moment_of(state: SessionState) -> datetime:
    assert state.capture_end_time
    return state.capture_end_time


def first_at(some: Sequence[SessionState], level: Level) -> datetime | None:
    return next((moment_of(state) for state in some if state.level >= level), None)


@given(
    st.integers(1, 8).flatmap(lambda count: st.tuples(*(any_chunk(number) for number in range(count)))),
    st.lists(st.integers(30, 99), min_size=2, max_size=2, unique=True),
)
def test_a_course_tells_what_a_fold_under_other_thresholds_finds(
    chunks: tuple[ChunkInputs, ...], percents: list[int]
) -> None:
    high, critical = sorted(percents)
    thresholds = CURRENT.moved(high / 100, critical / 100)
    assume(thresholds.are_in_order)
    course = course_of(states(MODEL, chunks))
    folded = states(under(thresholds), chunks)
    assert course.high_time(thresholds) == first_at(folded, Level.HIGH)
    assert course.critical_time(thresholds) == first_at(folded, Level.CRITICAL)


def test_levels_are_left_as_far_below_as_before() -> None:
    moved = CURRENT.moved(enter_high=0.7)
    assert moved == replace(CURRENT, enter_high=0.7, leave_high=0.6)
    assert CURRENT.moved() == CURRENT


@pytest.mark.parametrize(
    ("high", "critical", "in_order"), [(0.7, 0.9, True), (0.26, 0.9, False), (0.9, 0.9, False), (0.7, 1.0, False)]
)
def test_levels_come_in_their_order(high: float, critical: float, *, in_order: bool) -> None:
    """0.26 is above the medium level's, but would be left below it."""
    assert CURRENT.moved(high, critical).are_in_order is in_order


def test_models_score_alike_whatever_their_thresholds_and_emotions() -> None:
    assert scores_alike(under(CURRENT.moved(0.7)), MODEL)
    assert scores_alike(replace(MODEL, version="other", dissonance=replace(MODEL.dissonance, minimum_gap=0.9)), MODEL)
    assert not scores_alike(replace(MODEL, distress=replace(MODEL.distress, prior=0.2)), MODEL)
    assert not scores_alike(replace(MODEL, session=replace(MODEL.session, memory_seconds=60.0)), MODEL)


@pytest.mark.parametrize(
    ("share", "observations", "low", "high"),
    [(0.5, 10, 0.2366, 0.7634), (0.0, 10, 0.0, 0.2775), (1.0, 1, 0.2065, 1.0), (0.9, 100, 0.8256, 0.9448)],
)
def test_intervals_are_wilsons(share: float, observations: int, low: float, high: float) -> None:
    assert wilson_interval(share, observations) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(0, 1000), st.integers(1, 1000))
def test_an_interval_holds_its_share_and_narrows(thousandths: int, observations: int) -> None:
    share = thousandths / 1000
    low, high = wilson_interval(share, observations)
    assert 0.0 <= low <= share <= high <= 1.0
    wider_low, wider_high = wilson_interval(share, observations)
    narrow_low, narrow_high = wilson_interval(share, 2 * observations)
    assert narrow_high - narrow_low < wider_high - wider_low


def test_enough_people_bound_the_lost_share() -> None:
    assert wilson_interval(0.0, TRUE_PEOPLE_NEEDED)[1] <= MOST_LOST_SHARE
    assert wilson_interval(0.0, TRUE_PEOPLE_NEEDED - 1)[1] > MOST_LOST_SHARE


def case(
    person: int,
    reason: Reason = Reason.FALSE_ALARM,
    *scores: float,
    warned: bool = False,
    patterns: bool = False,
    known: bool = True,
    comparable: bool = True,
    noise_reason: str = "",
) -> Case:
    """Of somebody whose session's score rises like that, a minute apart."""
    user_id, session_id = UUID(int=person), UUID(int=1000 + person)
    times = [make.START + timedelta(minutes=minute) for minute in range(len(scores))]
    warning = make.START if warned else None
    course = Course(session_id, user_id, scores, times, warning, None, is_comparable=comparable)
    outcome = CaseOutcome(
        alert_id=UUID(int=2000 + person),
        user_id=user_id,
        anonymous_id="",
        reason=reason,
        noise_reason=noise_reason,
        level=Level.HIGH,
        score=0.6,
        open_time=make.START,
        close_time=make.START,
        session_id=session_id,
        chunk_id=session_id,
        session_ids=(session_id,),
        patterns_alarmed=patterns,
    )
    return Case(outcome, [course] if known else [])


def enough(true_score: float = 0.8, *false_scores: float) -> Decided:
    """True alarms of one height, and false ones of these, again and again."""
    true = [case(person, Reason.SAFE_NOW, 0.3, true_score) for person in range(TRUE_PEOPLE_NEEDED)]
    false = [
        case(100 + person, Reason.FALSE_ALARM, false_scores[person % len(false_scores)])
        for person in range(FALSE_PEOPLE_NEEDED)
    ]
    return Decided(true, false)


@pytest.mark.parametrize(
    ("one", "standing"),
    [
        (case(1, Reason.FALSE_ALARM, 0.6), Standing.DECIDED),
        (case(1, Reason.HANDED_OVER, 0.6), Standing.DECIDED),
        (case(1, Reason.UNREACHABLE, 0.6), Standing.OUTCOME_UNKNOWN),
        (case(1, Reason.FALSE_ALARM, 0.6, warned=True, patterns=True), Standing.RAISED_BY_CUE),
        (case(1, Reason.FALSE_ALARM, 0.6, patterns=True), Standing.RAISED_BY_PATTERNS),
        (case(1, Reason.FALSE_ALARM, 0.6, known=False), Standing.NOT_COMPARABLE),
        (case(1, Reason.FALSE_ALARM, 0.6, comparable=False), Standing.NOT_COMPARABLE),
        (case(1, Reason.FALSE_ALARM, 0.5), Standing.NOT_REPRODUCED),
    ],
)
def test_only_what_thresholds_decided_counts(one: Case, standing: Standing) -> None:
    assert one.standing(CURRENT) is standing
    counted = decided([one], CURRENT)
    assert len(counted.true) + len(counted.false) == (standing is Standing.DECIDED)


def test_no_threshold_touches_words_of_danger() -> None:
    assert case(1, Reason.SAFE_NOW, 0.1, warned=True).raise_time(CURRENT.moved(1.0, 1.0)) == make.START


def test_an_effect_counts_what_is_avoided_lost_and_late() -> None:
    cases = Decided(
        [case(1, Reason.SAFE_NOW, 0.6), case(2, Reason.SAFE_NOW, 0.6, 0.65, 0.9), case(3, Reason.SAFE_NOW, 0.9)],
        [case(4, Reason.FALSE_ALARM, 0.6), case(4, Reason.FALSE_ALARM, 0.6), case(5, Reason.FALSE_ALARM, 0.8)],
    )
    sessions = [course for one in (*cases.true, *cases.false) for course in one.courses]
    effect = effect_of(CURRENT.moved(enter_high=0.7), CURRENT, cases, sessions)
    assert (effect.high_sessions, effect.critical_sessions) == (3, 2)
    assert (effect.true_lost.count, effect.true_lost.total, effect.true_lost.people) == (1, 3, 3)
    assert (effect.false_avoided.count, effect.false_avoided.total, effect.false_avoided.people) == (2, 3, 2)
    assert (effect.false_avoided.low, effect.false_avoided.high) == wilson_interval(2 / 3, 2)
    assert (effect.true_later, effect.longest_delay) == (1, timedelta(minutes=2))
    unchanged = effect_of(CURRENT, CURRENT, cases, sessions)
    assert (unchanged.true_lost.count, unchanged.false_avoided.count, unchanged.true_later) == (0, 0, 0)


def test_a_proposal_is_the_lowest_that_avoids_as_many() -> None:
    proposals = propose(enough(0.8, 0.605, 0.72), CURRENT)
    assert [one.enter_high for one in proposals] == [0.73, 0.61]


def test_a_proposal_stays_below_the_weakest_true_alarm() -> None:
    assert [one.enter_high for one in propose(enough(0.65, 0.56, 0.61), CURRENT)] == [0.57]
    assert propose(enough(0.56, 0.56), CURRENT) == []


def test_nothing_is_proposed_on_too_few() -> None:
    cases = enough(0.8, 0.6)
    assert propose(cases, CURRENT)
    assert not propose(Decided(cases.true[1:], cases.false), CURRENT)
    assert not propose(Decided(cases.true, cases.false[1:]), CURRENT)
    one_person_often = [case(1, Reason.SAFE_NOW, 0.8)] * TRUE_PEOPLE_NEEDED
    assert not propose(Decided(one_person_often, cases.false), CURRENT)


@given(
    st.floats(CURRENT.enter_high, 1.0),
    st.lists(st.floats(CURRENT.enter_high, 1.0), min_size=1, max_size=FALSE_PEOPLE_NEEDED),
)
def test_no_proposal_loses_a_true_alarm(true_score: float, false_scores: list[float]) -> None:
    cases = enough(true_score, *false_scores)
    sessions: list[Course] = []
    avoided = []
    for proposal in propose(cases, CURRENT):
        effect = effect_of(proposal, CURRENT, cases, sessions)
        assert effect.true_lost.count == 0
        assert effect.true_lost.high <= MOST_LOST_SHARE
        assert proposal.enter_high <= true_score - MARGIN
        assert proposal.are_in_order
        avoided.append(effect.false_avoided.count)
    assert avoided == sorted(set(avoided), reverse=True)
    assert 0 not in avoided


def test_noise_of_few_people_stands_with_what_wasnt_said() -> None:
    rare = [case(person, noise_reason="habitual") for person in range(FALSE_PEOPLE_NEEDED - 1)]
    common = [case(100 + person, noise_reason="recording") for person in range(FALSE_PEOPLE_NEEDED)]
    true = [case(200, Reason.SAFE_NOW)]
    assert noise([*rare, *common, *true, case(300)]) == {"": FALSE_PEOPLE_NEEDED, "recording": FALSE_PEOPLE_NEEDED}


def test_every_reason_has_an_ending() -> None:
    assert {reason.ending for reason in Reason} == set(Ending)
