"""A session's level: smoothed in capture time, slow to fall, at once at words of danger."""

from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.fusion.fold import ChunkResult
from services.fusion.science.fuse import fuse_chunks
from services.fusion.science.inputs import ChunkInputs, InputArrays, Window
from services.fusion.science.session_state import START, LevelCause, SessionState, advance
from services.fusion.vocabulary import CrisisSignal, Level
from tests.fusion.fold_support import folded
from tests.fusion.make import LENGTH, MODEL, any_chunk, chunk, said, shown, window

POLICY = MODEL.session


def everywhere(number: int, probability: float, confidence: float = 0.9) -> ChunkInputs:
    """All modalities say the same."""
    some = shown(probability=probability, confidence=confidence)
    return chunk(number, some, some, said(probability, confidence))


def levels(results: list[ChunkResult]) -> list[Level]:
    return [result.state.level for result in results]


def cue(number: int, *signals: CrisisSignal) -> ChunkInputs:
    return chunk(number, text=said(0.05, signals=frozenset(signals)))


def at(seconds: float, probability: float, length_seconds: float = 10.0) -> tuple[Window, ChunkInputs]:
    start = window(0).capture_start_time + timedelta(seconds=seconds - length_seconds)
    placed = Window(window(0).chunk_id, start, start + timedelta(seconds=length_seconds))
    return placed, everywhere(0, probability)


def advanced(state: SessionState, *moments: tuple[Window, ChunkInputs]) -> SessionState:
    for placed, inputs in moments:
        state = advance(MODEL, state, placed, fuse_chunks(MODEL, InputArrays.of([inputs]))[0])
    return state


def test_a_calm_person_stays_low() -> None:
    assert set(levels(folded([everywhere(number, 0.05 + 0.02 * (number % 6)) for number in range(60)]))) == {Level.LOW}


def test_distress_that_lasts_rises_level_by_level() -> None:
    reached = levels(folded([everywhere(number, 0.02 + 0.012 * number) for number in range(80)]))
    assert reached[0] is Level.LOW
    assert reached[-1] is Level.CRITICAL
    assert all(before <= after for before, after in pairwise(reached))


def test_one_distressed_moment_among_calm_ones_is_not_high() -> None:
    calm = [everywhere(number, 0.08) for number in range(12)]
    reached = levels(folded([*calm, everywhere(12, 0.95), *(everywhere(number, 0.08) for number in range(13, 20))]))
    assert max(reached) < Level.HIGH


def test_a_score_between_the_thresholds_keeps_the_level_that_was() -> None:
    """Hysteresis: coming from below it is not entered, coming from above it is not left."""
    between = (POLICY.leave["high"] + POLICY.enter["high"]) / 2
    probability = next(p / 100 for p in range(100) if settled_score(p / 100) >= between)
    assert POLICY.leave["high"] < settled_score(probability) < POLICY.enter["high"]
    from_below = folded([everywhere(number, probability) for number in range(60)])
    from_above = folded(
        [everywhere(number, 0.7) for number in range(30)]
        + [everywhere(number, probability) for number in range(30, 90)]
    )
    assert from_below[-1].state.level is Level.MEDIUM
    assert from_above[-1].state.level is Level.HIGH


def settled_score(probability: float) -> float:
    return folded([everywhere(number, probability) for number in range(60)])[-1].state.score


@given(st.lists(any_chunk(), min_size=1, max_size=25))
def test_a_level_never_leaves_the_band_of_its_score(chunks: list[ChunkInputs]) -> None:
    for result in folded([chunk(number, one.vision, one.audio, one.text) for number, one in enumerate(chunks)]):
        state = result.state
        entered = [
            level for level in (Level.MEDIUM, Level.HIGH, Level.CRITICAL) if state.score >= POLICY.enter[level.label]
        ]
        assert state.level >= max(entered, default=Level.LOW)
        if state.cause is LevelCause.SCORE and state.level > Level.LOW:
            assert state.score >= POLICY.leave[state.level.label]


@pytest.mark.parametrize(
    "signal",
    [CrisisSignal.ACTIVE_IDEATION, CrisisSignal.PLAN_OR_INTENT, CrisisSignal.SELF_HARM, CrisisSignal.FAREWELL],
)
def test_a_critical_cue_goes_straight_to_critical(signal: CrisisSignal) -> None:
    calm = [everywhere(number, 0.02) for number in range(20)]
    result = folded([*calm, cue(20, signal)])[-1]
    assert (result.state.level, result.state.cause) == (Level.CRITICAL, LevelCause.CRISIS_CUE)
    assert result.fused.critical_cue


def test_a_passive_wish_is_at_least_high_and_hopelessness_is_evidence_alone() -> None:
    assert folded([cue(0, CrisisSignal.PASSIVE_IDEATION)])[-1].state.level is Level.HIGH
    assert folded([cue(0, CrisisSignal.HOPELESSNESS)])[-1].state.level < Level.HIGH


def test_a_cue_holds_its_level_for_a_while_and_no_longer() -> None:
    hold = timedelta(seconds=POLICY.cue_hold_seconds)
    chunks = [cue(0, CrisisSignal.SELF_HARM)]
    chunks += [everywhere(number, 0.02) for number in range(1, int(hold / LENGTH) + 2)]
    *held, released = folded(chunks)
    assert set(levels(held)) == {Level.CRITICAL}
    assert held[-1].state.cause is LevelCause.CRISIS_CUE_HELD
    assert released.state.level is Level.LOW


def test_a_warning_never_lowers_what_the_score_has_reached() -> None:
    distressed = [everywhere(number, 0.97) for number in range(30)]
    assert folded([*distressed, cue(30, CrisisSignal.PASSIVE_IDEATION)])[-1].state.level is Level.CRITICAL


def test_the_state_depends_on_time_not_on_how_often_somebody_samples() -> None:
    """Five minutes at one distress, in windows of 10 seconds and of 2."""
    coarse = advanced(START, *(at(10.0 * number, 0.6) for number in range(1, 31)))
    fine = advanced(START, *(at(2.0 * number, 0.6, 2.0) for number in range(1, 151)))
    assert coarse.score == pytest.approx(fine.score, abs=0.01)


def test_old_evidence_fades_to_the_prior() -> None:
    distressed = advanced(START, *(at(10.0 * number, 0.9) for number in range(1, 31)))
    an_hour_later = advanced(distressed, at(3_900.0, MODEL.distress.prior))
    assert an_hour_later.score == pytest.approx(MODEL.distress.prior, abs=0.001)


def test_weak_evidence_moves_little() -> None:
    calm = advanced(START, *(at(10.0 * number, 0.05) for number in range(1, 31)))
    placed, _ = at(310.0, 0.95)
    unsure = advanced(calm, (placed, everywhere(0, 0.95, confidence=0.05)))
    sure = advanced(calm, (placed, everywhere(0, 0.95, confidence=0.95)))
    assert unsure.score - calm.score < 0.1 * (sure.score - calm.score)
