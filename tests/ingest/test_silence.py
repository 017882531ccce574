"""When a modality is silent, and when it is back: plain calls."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.silence import Cause, Evidence, Said, Silence, State, begin, fallen, resume
from services.ingest.vocabulary import Modality

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
PATIENCE = timedelta(seconds=30)
LONG_AGO = NOW - timedelta(hours=1)
NOTHING = Evidence()


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def said(state: State, since: float, at: float = 1) -> Said:
    return Said(state, ago(since), ago(at), ago(at), ago(since))


def known(vision: Evidence, audio: Evidence = NOTHING, text: Evidence = NOTHING) -> Mapping[Modality, Evidence]:
    return {Modality.VISION: vision, Modality.AUDIO: audio, Modality.TEXT: text}


def found(vision: Evidence, audio: Evidence = NOTHING, text: Evidence = NOTHING) -> Cause | None:
    return fallen(Modality.VISION, known(vision, audio, text), LONG_AGO, NOW, PATIENCE)


RUNS = Evidence(received=ago(1), captured_until=ago(2))
STOPPED = Evidence(received=ago(40), captured_until=ago(41))


@pytest.mark.parametrize(
    ("vision", "audio", "cause"),
    [
        (RUNS, RUNS, None),
        (STOPPED, RUNS, Cause.NO_SIGN),
        (STOPPED, STOPPED, None),
        (STOPPED, NOTHING, None),
        (NOTHING, RUNS, None),
        (Evidence(received=ago(40), said=[said(State.RUNNING, 100)]), RUNS, None),
        (Evidence(received=ago(40), said=[said(State.RUNNING, 100, at=35)]), RUNS, Cause.NO_SIGN),
        (Evidence(received=ago(40), running_time=ago(5)), RUNS, None),
        (STOPPED, Evidence(said=[said(State.RUNNING, 100)]), Cause.NO_SIGN),
        (Evidence(received=ago(6), said=[said(State.OFF, 5)]), NOTHING, Cause.OFF),
        (Evidence(received=ago(6), said=[said(State.FAILED, 5)]), RUNS, Cause.FAILED),
        (Evidence(said=[said(State.FAILED, 5)]), NOTHING, Cause.FAILED),
        # Another device goes on with it, or this one brings what it kept from before.
        (Evidence(received=ago(1), said=[said(State.OFF, 5)]), NOTHING, None),
        (Evidence(received=ago(31), said=[said(State.OFF, 50)]), NOTHING, Cause.OFF),
        (Evidence(received=ago(60), said=[said(State.OFF, 50), said(State.RUNNING, 40)]), NOTHING, None),
    ],
)
def test_a_modality_is_silent(vision: Evidence, audio: Evidence, cause: Cause | None) -> None:
    assert found(vision, audio) is cause


def test_nothing_is_missed_before_somebody_listened_for_long_enough() -> None:
    assert fallen(Modality.VISION, known(STOPPED, RUNS), ago(20), NOW, PATIENCE) is None
    assert fallen(Modality.VISION, known(STOPPED, RUNS), ago(31), NOW, PATIENCE) is Cause.NO_SIGN


def test_words_are_missed_only_after_a_device_said_that_it_listens() -> None:
    listened = Evidence(received=ago(300), said=[said(State.RUNNING, 300, at=60)])
    for text, cause in ((STOPPED, None), (listened, Cause.NO_SIGN)):
        assert fallen(Modality.TEXT, known(RUNS, RUNS, text), LONG_AGO, NOW, PATIENCE) is cause


@pytest.mark.parametrize(
    ("evidence", "is_back"),
    [
        (Evidence(received=ago(1), captured_until=ago(100)), False),  # from before it fell silent
        (Evidence(received=ago(1), captured_until=ago(90)), True),
        (Evidence(said=[said(State.RUNNING, 200, at=80)]), False),
        (Evidence(said=[said(State.RUNNING, 60)]), True),
        (Evidence(said=[said(State.OFF, 60)]), False),
        (Evidence(running_time=ago(1)), False),  # whoever hears that device tells it
    ],
)
def test_a_modality_is_back(evidence: Evidence, is_back: bool) -> None:
    lasting = Silence(Modality.VISION, ago(100), Cause.NO_SIGN, ago(70))
    silent = Evidence(evidence.received, evidence.captured_until, evidence.said, evidence.running_time, lasting)
    assert silent.is_back is is_back
    assert not evidence.is_back


def test_a_silence_begins_with_the_newest_window() -> None:
    assert begin(STOPPED, LONG_AGO, None) == ago(41)
    assert begin(Evidence(captured_until=ago(41), said=[said(State.OFF, 35)]), LONG_AGO, None) == ago(35)
    assert begin(NOTHING, LONG_AGO, None) == LONG_AGO


def test_no_two_silences_begin_at_the_same_time() -> None:
    assert begin(STOPPED, LONG_AGO, ago(41)) == ago(41) + timedelta(microseconds=1)
    assert begin(STOPPED, LONG_AGO, ago(50)) == ago(41)


moments = st.integers(0, 1000).map(ago)


@given(moments, st.none() | moments, st.none() | moments, st.none() | moments)
def test_a_silence_never_ends_before_it_began(
    since: datetime, first: datetime | None, device_time: datetime | None, captured: datetime | None
) -> None:
    silence = Silence(Modality.VISION, since, Cause.OFF, since)
    running = Said(State.RUNNING, NOW, NOW, device_time, captured)
    for one in (Evidence(), Evidence(said=[running])):
        assert resume(silence, one, first) >= since
    if first is not None:
        assert resume(silence, Evidence(said=[running]), first) == max(since, first)


def test_an_unchanged_state_is_known_since_its_first_heartbeat() -> None:
    first, again, changed = said(State.OFF, 50, at=50), said(State.OFF, 20, at=20), said(State.RUNNING, 5)
    assert again.after(first).since == ago(50)
    assert again.after(first).at == ago(20)
    assert changed.after(first).since == ago(5)
