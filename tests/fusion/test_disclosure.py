"""Counts that may be told beside their total."""

from services.fusion.comparison import PEOPLE_MIN, LevelCounts
from services.fusion.vocabulary import Level
from tests.fusion.compared_sessions import person

UNCHANGED, RAISED, LOWERED = (Level.LOW, Level.LOW), (Level.LOW, Level.HIGH), (Level.HIGH, Level.LOW)


def levels(**people: int) -> LevelCounts:
    counted = LevelCounts()
    for change, number in (
        (UNCHANGED, people.get("unchanged", 0)),
        (RAISED, people.get("raised", 0)),
        (LOWERED, people.get("lowered", 0)),
    ):
        for each in range(number):
            counted.add(person(each), {change: 1})
    return counted


def test_what_many_have_is_told() -> None:
    assert levels(unchanged=30, raised=PEOPLE_MIN).withheld() == set()


def test_with_what_few_have_goes_the_smallest_of_the_others() -> None:
    assert levels(unchanged=30, raised=20, lowered=PEOPLE_MIN - 1).withheld() == {RAISED, LOWERED}


def test_one_persons_many_sessions_are_one_persons() -> None:
    counted = levels(unchanged=30, lowered=20)
    counted.add(person(1), {RAISED: 1000})
    assert counted.withheld() == {RAISED, LOWERED}
