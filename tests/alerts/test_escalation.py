"""One alert per person, which only rises, whatever order the facts come in."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.rpc.errors import AppError
from services.alerts.escalation import EventKind, Policy, Resolution, derive_alert
from services.alerts.response import Act, State, after
from services.alerts.risk import Fact, Level, Source

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
POLICY = Policy(alert_fresh=timedelta(hours=24), reopen_after=timedelta(minutes=60))


def fact(
    minute: int,
    level: Level = Level.HIGH,
    score: float = 0.7,
    *,
    source: Source = Source.FUSION,
    chunk: int | None = None,
    revision: int = 1,
    captured_before: timedelta = timedelta(0),
) -> Fact:
    received = START + timedelta(minutes=minute)
    chunk_id = UUID(int=chunk if chunk is not None else 1000 + minute)
    return Fact(
        source, UUID(int=1), chunk_id, revision, level, score, ("VOICE_DISTRESS",), received - captured_before, received
    )


facts = st.lists(
    st.builds(
        fact,
        st.integers(0, 30),
        st.sampled_from(Level),
        st.floats(0, 1),
        source=st.sampled_from(Source),
        chunk=st.integers(0, 5),
        revision=st.integers(1, 3),
    ),
    max_size=12,
    unique_by=lambda fact: fact.order,
)


@given(facts, st.randoms())
def test_the_order_of_arrival_does_not_matter(facts: list[Fact], random: object) -> None:
    shuffled = list(facts)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert derive_alert(shuffled, None, POLICY) == derive_alert(facts, None, POLICY)


@given(facts)
def test_it_holds_the_highest_level_and_score_since_it_opened(facts: list[Fact]) -> None:
    alert = derive_alert(facts, None, POLICY)
    alarming = [fact for fact in facts if fact.level.alarming]
    if alert is None:
        assert not alarming
    else:
        assert alert.level == max(fact.level for fact in alarming)
        assert alert.score == max(fact.score for fact in alarming)
        assert [event.kind for event in alert.events].count(EventKind.OPENED) == 1


def test_low_and_medium_open_nothing() -> None:
    assert derive_alert([fact(0, Level.LOW), fact(1, Level.MEDIUM, 0.9)], None, POLICY) is None


def test_a_worse_result_raises_and_a_similar_one_is_not_told_again() -> None:
    alert = derive_alert([fact(0), fact(1, score=0.72), fact(2, Level.CRITICAL, 0.9)], None, POLICY)
    assert alert is not None
    assert [event.kind for event in alert.events] == [EventKind.OPENED, EventKind.RAISED]
    assert alert.level is Level.CRITICAL


def test_a_lower_revision_is_told_and_changes_nothing() -> None:
    alert = derive_alert([fact(0, chunk=7), fact(5, Level.LOW, 0.1, chunk=7, revision=2)], None, POLICY)
    assert alert is not None
    assert [event.kind for event in alert.events] == [EventKind.OPENED, EventKind.LOWERED]
    assert (alert.level, alert.score) == (Level.HIGH, 0.7)


def test_what_was_captured_long_ago_opens_a_delayed_alert() -> None:
    alert = derive_alert([fact(0, captured_before=timedelta(hours=25))], None, POLICY)
    assert alert is not None
    assert alert.delayed


@pytest.mark.parametrize(
    ("later", "opens"),
    [
        (fact(10), False),
        (fact(10, score=0.81), True),
        (fact(10, Level.CRITICAL, 0.1), True),
        (fact(70), True),
        (fact(-1, Level.CRITICAL, 0.99), False),
    ],
    ids=["high soon", "higher score", "critical", "high much later", "received before the resolution"],
)
def test_after_a_resolution_an_alert_opens_again_only_for_a_reason(later: Fact, opens: bool) -> None:
    previous = Resolution(START, score=0.8)
    assert (derive_alert([later], previous, POLICY) is not None) == opens


def test_a_resolved_alert_takes_nothing_more() -> None:
    with pytest.raises(AppError) as caught:
        after(State.RESOLVED, Act.ACKNOWLEDGE)
    assert caught.value.reason == "ALERT_STATE"


def test_whoever_reached_the_person_may_say_so_at_once() -> None:
    assert after(State.TRIGGERED, Act.RESPOND) is State.RESPONDED
