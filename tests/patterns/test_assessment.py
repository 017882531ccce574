from dataclasses import replace
from math import exp
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.patterns.assessment import assess
from services.patterns.baseline import normal_of
from services.patterns.facts import MEASURES
from services.patterns.levels import Level
from services.patterns.method import current_method
from services.patterns.session import Session
from services.patterns.summary import SESSION_SCORE
from tests.patterns.make import session

METHOD = current_method()
CALM = [session(number, 0.1 + 0.01 * (number % 3), features={"pitch_mean": 200.0}) for number in range(8)]

scores = st.floats(0, 1)
histories = st.lists(
    st.tuples(scores, st.booleans(), st.dictionaries(st.sampled_from(MEASURES), st.floats(0, 100), max_size=3)),
    max_size=10,
).map(lambda rows: [session(n, score, settled=over, features=has) for n, (score, over, has) in enumerate(rows)])
currents = st.builds(
    session,
    number=st.just(99),
    score=scores,
    level=st.sampled_from(Level),
    critical_cue=st.booleans(),
    features=st.dictionaries(st.sampled_from(MEASURES), st.floats(0, 100), max_size=5),
    judged_chunks=st.just(10),
    masking_chunks=st.integers(0, 10),
    masking_strength=scores,
)


def test_every_feature_has_a_method() -> None:
    assert set(METHOD.features) == {*MEASURES, SESSION_SCORE}


@given(current=currents, before=histories)
def test_contributions_add_up_exactly(current: Session, before: list[Session]) -> None:
    found = assess(current, before, METHOD)
    parts = found.contributions
    assert parts.logit == parts.fusion + parts.dissonance + parts.baseline_deviation + parts.pattern
    assert found.verdict.score == 1 / (1 + exp(-parts.logit))
    assert min(parts.dissonance, parts.baseline_deviation, parts.pattern) >= 0


@given(current=currents, before=histories, raised=scores, level=st.sampled_from(Level))
def test_a_higher_fused_state_never_lowers_the_risk(
    current: Session, before: list[Session], raised: float, level: Level
) -> None:
    score = max(current.session_score, raised)
    higher = replace(
        current,
        session_score=score,
        level=max(level, current.level),
        summary=replace(current.summary, features={**current.summary.features, SESSION_SCORE: score}),
    )
    low, high = assess(current, before, METHOD).verdict, assess(higher, before, METHOD).verdict
    assert high.score >= low.score
    assert high.level >= low.level


@given(current=currents, before=histories)
def test_the_level_keeps_close_to_what_fusion_says(current: Session, before: list[Session]) -> None:
    level = assess(current, before, METHOD).verdict.level
    assert level >= current.level - 1
    assert not current.critical_cue or level >= current.level
    assert level >= METHOD.levels.level(assess(current, before, METHOD).verdict.score)


@given(current=currents, before=histories.filter(lambda all_: sum(one.calm for one in all_) < 5))
def test_nothing_is_judged_by_a_baseline_during_warm_up(current: Session, before: list[Session]) -> None:
    found = assess(current, before, METHOD)
    assert found.warming_up
    assert found.contributions.baseline_deviation == 0
    assert found.deviations == ()
    assert found.baseline_sessions == sum(one.calm for one in before)


def test_a_calm_person_stays_low() -> None:
    found = assess(session(9, 0.13, features={"pitch_mean": 203.0}), CALM, METHOD)
    assert found.verdict.level is Level.LOW
    assert found.verdict.risk_factors == ()
    assert not found.warming_up


def test_a_deviation_alone_is_seen_before_fusion_sees_anything() -> None:
    found = assess(session(9, 0.25, features={"pitch_mean": 150.0}), CALM, METHOD)
    assert found.verdict.risk_factors == ("BASELINE_DEVIATION",)
    assert found.deviations[0].feature == "pitch_mean"
    assert found.deviations[0].robust_z == -10
    assert found.contributions.baseline_deviation > 0


def test_getting_better_is_no_deviation() -> None:
    found = assess(session(9, 0.001), [session(n, 0.3 + 0.01 * (n % 3)) for n in range(8)], METHOD)
    assert found.deviations[0].robust_z < -5
    assert found.contributions.baseline_deviation == 0


def test_crises_never_become_the_normal() -> None:
    crises = [session(10 + number, 0.9, level=Level.CRITICAL) for number in range(50)]
    normal = normal_of([*CALM, *crises], METHOD)
    assert normal.calm_sessions == 8
    assert normal.baselines[SESSION_SCORE].median == pytest.approx(0.11)


def test_only_the_window_counts() -> None:
    window = METHOD.baseline.window_sessions
    normal = normal_of([session(0, 0.3), *(session(1 + number, 0.1) for number in range(window))], METHOD)
    assert normal.calm_sessions == window
    assert normal.baselines[SESSION_SCORE].scaled_mad == 0


def test_masking_raises_the_risk_and_grows_with_its_evidence() -> None:
    def masked(chunks: int) -> float:
        one = session(1, 0.2, judged_chunks=chunks, masking_chunks=chunks, masking_strength=0.8)
        return assess(one, [], METHOD).contributions.dissonance

    assert 0 == masked(0) < masked(1) < masked(5) < masked(50) < METHOD.dissonance.weight * 0.8


def test_a_critical_cue_leads() -> None:
    found = assess(session(1, 0.2, level=Level.CRITICAL, critical_cue=True), [], METHOD)
    assert found.verdict.level is Level.CRITICAL
    assert found.verdict.risk_factors == ("CRITICAL_CUE",)


def simulated(random: Random, number: int, decline: float) -> Session:
    """A session of somebody whose score, speech and pitch wander; `decline` counts the steps that it went downhill."""
    return session(
        number,
        max(0.01, 0.09 + 0.012 * decline + random.gauss(0, 0.02)),
        features={
            "speech_rate": 4.0 - 0.1 * decline + random.gauss(0, 0.3),
            "pitch_std": 30.0 - decline + random.gauss(0, 3),
            "pause_ratio": 0.2 + 0.01 * decline + random.gauss(0, 0.03),
            "pitch_mean": 200.0 + random.gauss(0, 8),
        },
    )


@pytest.mark.parametrize("seed", range(5))
def test_a_slow_decline_is_flagged_before_any_absolute_threshold(seed: int) -> None:
    random = Random(seed)  # noqa: S311 - a simulation
    sessions: list[Session] = []
    for number in range(25):
        current = simulated(random, number, decline=max(0, number - 8))
        found = assess(current, sessions, METHOD)
        if found.verdict.level is not Level.LOW:
            break
        sessions.append(current)
    assert number >= 8
    assert found.verdict.level is Level.MEDIUM
    assert max(one.session_score for one in [*sessions, current]) < METHOD.levels.medium
    assert set(found.verdict.risk_factors) <= {"BASELINE_DEVIATION", "RISING_PATTERN"}
    assert found.verdict.risk_factors


@pytest.mark.parametrize("seed", range(5))
def test_a_calm_person_is_never_flagged(seed: int) -> None:
    random = Random(seed)  # noqa: S311 - a simulation
    sessions = [simulated(random, number, decline=0) for number in range(40)]
    levels = {assess(one, sessions[:number], METHOD).verdict.level for number, one in enumerate(sessions)}
    assert levels == {Level.LOW}
