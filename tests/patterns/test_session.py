from itertools import pairwise

from services.patterns.facts import FusedBatch, FusedChunk, SettledSession
from services.patterns.levels import Level
from services.patterns.session import Session, with_batch, with_end
from services.patterns.summary import Summary
from tests.patterns.make import USER, at, chunk, number_id


def batch(*chunks: FusedChunk) -> FusedBatch:
    return FusedBatch(USER, number_id(1), 1, at(0), chunks)


def test_the_newest_chunk_by_capture_sets_the_state() -> None:
    state = with_batch(None, batch(chunk(5, 0.3, level=Level.MEDIUM), chunk(6, 0.6, level=Level.HIGH)), 1)
    assert (state.level, state.session_score, state.newest_chunk_id) == (Level.HIGH, 0.6, number_id(6))


def test_a_late_chunk_leaves_the_state_but_counts() -> None:
    state = with_batch(with_batch(None, batch(chunk(6, 0.6, level=Level.HIGH)), 2), batch(chunk(5, 0.1)), 3)
    assert (state.level, state.session_score) == (Level.HIGH, 0.6)
    assert (state.facts_ordinal, state.results_seen) == (3, 2)


def test_a_revision_of_the_newest_chunk_replaces_it() -> None:
    state = with_batch(with_batch(None, batch(chunk(6, 0.6)), 1), batch(chunk(6, 0.4, revision=2)), 2)
    assert state.session_score == 0.4


def test_a_critical_cue_stands_as_long_as_fusion_holds_the_level() -> None:
    state = with_batch(None, batch(chunk(1, level=Level.CRITICAL, critical_cue=True)), 1)
    state = with_batch(state, batch(chunk(2, level=Level.CRITICAL)), 2)
    assert state.critical_cue
    assert not with_batch(state, batch(chunk(3, level=Level.HIGH)), 3).critical_cue


def test_facts_once_seen_stay_seen() -> None:
    assert with_batch(with_batch(None, batch(chunk(1)), 7), batch(chunk(2)), 3).facts_ordinal == 7


def test_only_a_settled_session_that_stayed_low_teaches_the_normal() -> None:
    state = with_batch(None, batch(chunk(1)), 1).summarised(Summary(chunks=1))
    assert not state.calm
    settled = with_end(state, SettledSession(USER, number_id(1), at(9), at(9)), 2)
    assert settled.calm
    assert not settled.summarised(Summary(chunks=1, highest_level=Level.MEDIUM)).calm


def test_summaries_of_a_long_session_read_each_chunk_a_bounded_number_of_times() -> None:
    state: Session | None = None
    read, summarised_at = 0, [0]
    for number in range(5_000):
        state = with_batch(state, batch(chunk(number)), number)
        if state.summary_due:
            state = state.summarised(Summary(chunks=number + 1))
            read += number + 1
            summarised_at.append(number + 1)
    assert summarised_at[:17] == list(range(17))
    assert all(after <= max(16, before * 9 / 8) + 1 for before, after in pairwise(summarised_at))
    assert read < 12 * 5_000


def test_a_settled_session_is_summarised_at_every_change() -> None:
    state = with_batch(None, batch(*(chunk(number) for number in range(100))), 1).summarised(Summary(chunks=100))
    assert not state.summary_due
    assert with_end(state, SettledSession(USER, number_id(1), at(9), at(9)), 2).summary_due
