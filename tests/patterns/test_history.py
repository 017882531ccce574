"""What is kept of sessions between their summaries has a bound."""

from uuid import uuid4

import pytest

from services.patterns.facts import FusedBatch
from services.patterns.service import history as module
from services.patterns.service.history import Histories, History
from tests.patterns.make import START, USER, chunk


def a_history(chunks: int) -> History:
    session_id = uuid4()
    history = History(session_id, 0)
    history.add(FusedBatch(USER, session_id, 1, START, tuple(chunk(number) for number in range(chunks))))
    return history


@pytest.fixture(autouse=True)
def bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT_MAX", 8)
    monkeypatch.setattr(module, "KEPT_OF_ONE_MAX", 4)


def test_the_one_that_was_folded_longest_ago_goes() -> None:
    kept = [a_history(3) for _ in range(3)]
    histories = Histories()
    for history in kept:
        histories.give_back(history)
    assert [histories.take(one.session_id, 3) is one for one in kept] == [False, True, True]


def test_a_long_session_moves_no_other() -> None:
    short, long = a_history(4), a_history(5)
    histories = Histories()
    histories.give_back(short)
    histories.give_back(long)
    assert histories.take(long.session_id, 5) is not long
    assert histories.take(short.session_id, 4) is short


def test_what_was_taken_makes_room() -> None:
    one, other = a_history(4), a_history(4)
    histories = Histories()
    for _ in range(3):
        histories.give_back(one)
        histories.give_back(other)
        assert histories.take(one.session_id, 4) is one
        assert histories.take(other.session_id, 4) is other


def test_one_that_has_seen_something_else_is_forgotten() -> None:
    history = a_history(2)
    histories = Histories()
    histories.give_back(history)
    assert histories.take(history.session_id, 3) is not history
    assert histories.take(history.session_id, 2) is not history
