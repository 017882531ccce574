"""Folding batches: arrival and grouping leave the state alone; revisions tell what changed."""

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.fusion.fold import ChangedResult, SessionFold, Standing
from services.fusion.science.inputs import ChunkInputs, Said
from services.fusion.vocabulary import CrisisSignal, Level
from tests.fusion import make
from tests.fusion.fold_support import fold, folded, new_fold
from tests.fusion.make import any_chunk, batch, chunk, predictions, said, shown


def sessions() -> st.SearchStrategy[list[ChunkInputs]]:
    return st.lists(any_chunk(), min_size=1, max_size=12).map(
        lambda chunks: [chunk(number, one.vision, one.audio, one.text) for number, one in enumerate(chunks)]
    )


def outcome(session: SessionFold) -> list[str]:
    """All but what counts arrivals."""
    return [repr(replace(change.result, revision=0, batch_number=0)) for change in session.changes()]


def in_order(chunks: list[ChunkInputs]) -> SessionFold:
    session = new_fold()
    fold(session, *(batch(number, *predictions(one)) for number, one in enumerate(chunks, start=1)))
    return session


@given(sessions(), st.randoms(use_true_random=False))
def test_any_order_of_arrival_gives_the_same_session(chunks: list[ChunkInputs], order: random.Random) -> None:
    """Modality by modality, in any order, in batches of any size."""
    arriving = [prediction for one in chunks for prediction in predictions(one)]
    order.shuffle(arriving)
    session, number = new_fold(), 0
    while arriving:
        number, size = number + 1, order.randint(1, 5)
        fold(session, batch(number, *arriving[:size]))
        arriving = arriving[size:]
    assert outcome(session) == outcome(in_order(chunks))


@given(sessions(), st.integers(1, 11))
def test_a_fold_goes_on_from_what_another_wrote(chunks: list[ChunkInputs], cut: int) -> None:
    first = in_order(chunks[:cut])
    written = [change.result for change in first.changes()]
    if not chunks[cut:]:
        return
    later = SessionFold(new_fold()._models, written[-1].standing, [], {})
    fold(later, *(batch(number, *predictions(one)) for number, one in enumerate(chunks[cut:], start=cut + 1)))
    assert outcome(first) + outcome(later) == outcome(in_order(chunks))


def test_a_late_modality_makes_a_new_revision() -> None:
    session = new_fold()
    early = chunk(0, vision=shown(probability=0.8))
    late = chunk(0, audio=shown(probability=0.8))
    (first,), (second,) = fold(session, batch(1, *predictions(early)), batch(2, *predictions(late)))
    assert (first.revision, second.revision) == (1, 2)
    assert [len(result.fused.contributions) for result in (first, second)] == [1, 2]
    assert second.batch_number == 2


def test_one_batch_makes_one_revision_however_many_modalities_it_brings() -> None:
    ((result,),) = fold(new_fold(), batch(1, *predictions(chunk(0, shown(), shown(), said()))))
    assert result.revision == 1


def test_a_late_chunk_tells_of_later_ones_whose_level_changed_and_of_no_others() -> None:
    session = new_fold()
    calm = [chunk(number, text=said(0.05)) for number in (0, 2, 3, 400)]
    fold(session, batch(1, *(prediction for one in calm for prediction in predictions(one))))
    crisis = chunk(1, text=said(0.9, signals=frozenset({CrisisSignal.SELF_HARM})))
    (changed,) = fold(session, batch(2, *predictions(crisis)))
    assert [(result.chunk_id.int & 0xFFFF, result.revision) for result in changed] == [(1, 1), (2, 2), (3, 2)]
    assert all(result.state.level is Level.CRITICAL for result in changed)
    last = session.changes()[-1].result
    assert (last.revision, last.batch_number) == (1, 1)


def test_a_late_chunk_tells_of_the_newest_when_it_moved_where_the_session_stands() -> None:
    session = new_fold()
    calm = [chunk(number, text=said(0.05)) for number in (0, 2, 3)]
    fold(session, batch(1, *(prediction for one in calm for prediction in predictions(one))))
    (changed,) = fold(session, batch(2, *predictions(chunk(1, text=said(0.4)))))
    assert [(result.chunk_id.int & 0xFFFF, result.revision) for result in changed] == [(1, 1), (3, 2)]


def test_what_comes_before_a_late_chunk_is_not_written_again() -> None:
    first = in_order([chunk(number, text=said(0.05)) for number in range(4)])
    written = [change.result for change in first.changes()]
    session = SessionFold(new_fold()._models, written[1].standing, written[2:], {})
    fold(session, batch(9, *predictions(chunk(5, text=said(0.05)))))
    assert [change.is_stored for change in session.changes()] == [False]


def explained(session: SessionFold) -> list[bool]:
    return [change.is_explained for change in session.changes()]


def test_explanations_are_kept_where_something_changes_and_wherever_it_is_grave() -> None:
    calm = [chunk(number, text=said(0.05)) for number in range(3)]
    crisis = [chunk(3, text=said(0.9, signals=frozenset({CrisisSignal.SELF_HARM})))]
    held = [chunk(number, text=said(0.05)) for number in (4, 5)]
    assert explained(in_order(calm + crisis + held)) == [False, False, False, True, True, True]


class TestPersistence:
    def findings(self, *valences: float | None) -> list[ChangedResult]:
        """The face is sad throughout."""
        sad = shown(distribution=tuple(float(number == 2) for number in range(10)))
        return list(
            in_order(
                [chunk(number, vision=sad, text=said(0.1, valence=valence)) for number, valence in enumerate(valences)]
            ).changes()
        )

    @pytest.mark.parametrize(("times", "expected"), [(1, "MOMENT"), (3, "REPEATED"), (5, "PERSISTENT")])
    def test_masking_again_and_again_is_more_than_a_moment(self, times: int, expected: str) -> None:
        finding = self.findings(*[0.6] * times)[-1].finding
        assert finding is not None
        assert finding.interpretation == f"MASKING_{expected}"
        assert len(finding.evidence) == times

    def test_chunks_that_cant_be_judged_neither_add_nor_take_away(self) -> None:
        finding = self.findings(0.6, None, 0.6, None, 0.6)[-1].finding
        assert finding is not None
        assert finding.interpretation == "MASKING_REPEATED"

    def test_congruent_chunks_have_no_finding(self) -> None:
        assert self.findings(-0.7)[-1].finding is None


@pytest.mark.parametrize("late", [said(0.9), said(0.8, signals=frozenset({CrisisSignal.FAREWELL}))])
def test_a_late_chunk_changes_hours_and_not_a_whole_day(late: Said) -> None:
    """Otherwise one device that tells a long session's words at its end would hold up everybody."""
    day = [chunk(number, vision=shown(probability=0.1 * (number % 7))) for number in range(1, 3001)]
    written = [change.result for change in in_order(day).changes()]
    again = SessionFold(make.MODELS, Standing(), written, {})
    fold(again, batch(9999, *predictions(chunk(0, text=late))))
    changes = {change.result.chunk_id: change.result for change in again.changes()}
    assert len(changes) < 1000

    expected = {one.chunk_id: one for one in folded([chunk(0, text=late), *day])}
    whole = {one.chunk_id: one for one in written} | changes
    assert {id_: repr(one.standing) for id_, one in whole.items()} == {
        id_: repr(one.standing) for id_, one in expected.items()
    }
