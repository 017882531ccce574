"""Which silence explains that a modality lacks."""

from hypothesis import given
from hypothesis import strategies as st

from services.fusion.silence import Silence, SilenceReason, lasting, silent_in
from services.fusion.vocabulary import Modality
from tests.fusion import make

MOMENTS = st.integers(min_value=0, max_value=20).map(lambda steps: make.START + steps * make.LENGTH)
SILENCES = st.lists(
    st.builds(
        lambda modality, since, length: Silence(
            modality, since, SilenceReason.SILENT, None if length is None else since + length * make.LENGTH
        ),
        st.sampled_from(Modality),
        MOMENTS,
        st.none() | st.integers(min_value=0, max_value=5),
    ),
    max_size=6,
)


@given(SILENCES, st.integers(min_value=0, max_value=20))
def test_only_a_silence_of_the_time_explains(silences: list[Silence], number: int) -> None:
    window = make.window(number)
    explained = silent_in(window, tuple(Modality), silences)
    for modality in Modality:
        meeting = [
            one.since_time
            for one in silences
            if one.modality is modality
            and one.since_time < window.capture_end_time
            and (one.resume_time is None or one.resume_time > window.capture_start_time)
        ]
        assert (explained[modality].since_time if modality in explained else None) == max(meeting, default=None)


def test_a_modality_that_was_received_needs_no_explanation() -> None:
    silence = Silence(Modality.VISION, make.START, SilenceReason.OFF)
    assert silent_in(make.window(3), (Modality.TEXT,), [silence]) == {}


def test_a_silence_that_turned_out_to_be_none_explains_nothing() -> None:
    silence = Silence(Modality.VISION, make.START, SilenceReason.SILENT, make.START)
    assert silent_in(make.window(3), tuple(Modality), [silence]) == {}
    assert lasting([silence]) == ()
