"""The comparison of two runs, and of a ledger with what is stored."""

from uuid import UUID

from tests.e2e.checker import MISSING, Difference, compare, not_stored_once, report, stored
from tests.e2e.ledger import Ledger

KEYS = {"fusion.results": ("session_id", "chunk_id")}
SESSION, OTHER = UUID(int=1), UUID(int=2)


def result(chunk: int, **columns: object) -> dict[str, object]:
    return {"session_id": "s", "chunk_id": chunk, **columns}


def differences(expected: list[dict[str, object]], actual: list[dict[str, object]]) -> list[Difference]:
    return compare(KEYS, {"fusion.results": expected}, {"fusion.results": actual})


def test_the_order_of_rows_means_nothing() -> None:
    one, other = result(1, score=0.1), result(2, score=0.2)
    assert not differences([one, other], [other, one])


def test_names_table_row_and_column() -> None:
    [difference] = differences([result(1, score=0.1, level="low")], [result(1, score=0.1, level="high")])
    assert str(difference) == "fusion.results (s, 1) level: expected 'low', found 'high'"


def test_the_last_bit_counts() -> None:
    assert differences([result(1, score=0.3)], [result(1, score=0.1 + 0.2)])


def test_a_row_that_is_missing_added_or_there_twice_is_a_difference() -> None:
    row = result(1)
    assert [(d.expected, d.actual) for d in differences([row], [])] == [(1, 0)]
    assert [(d.expected, d.actual) for d in differences([], [row])] == [(0, 1)]
    assert [(d.expected, d.actual) for d in differences([row], [row, row])] == [(1, 2)]


def test_a_missing_column_is_not_an_empty_one() -> None:
    assert [d.actual for d in differences([result(1, level=None)], [result(1)])] == [MISSING]


def test_what_was_acknowledged_is_there_once() -> None:
    rows = {"fusion.results": [result(1), result(2), result(2)]}
    acknowledged = [("fusion.results", ("s", chunk)) for chunk in (1, 2, 3)]
    found = not_stored_once(acknowledged, stored(KEYS, rows))
    assert [(d.key, d.actual) for d in found] == [(("s", 2), 2), (("s", 3), 0)]


def test_a_report_ends_with_how_many_there_are() -> None:
    many = differences([result(chunk) for chunk in range(30)], [])
    assert len(report(many, most=3).splitlines()) == 4
    assert report(many).endswith("fusion.results: 30")


class Clock:
    now = 0

    def __call__(self) -> int:
        self.now += 1
        return self.now


def test_a_batch_is_acknowledged_once_whatever_is_sent_or_said_again() -> None:
    ledger = Ledger(Clock())
    for session, number in ((SESSION, 1), (SESSION, 2), (SESSION, 4), (OTHER, 1)):
        ledger.send(session, number)
    ledger.send(SESSION, 1)
    for _ in range(2):
        ledger.acknowledge(SESSION, [1, 2, 3])
    assert ledger.in_flight == {(SESSION, 4), (OTHER, 1)}
    assert ledger.acknowledged == {(SESSION, 1), (SESSION, 2)}
    ledger.send(SESSION, 1)
    assert (SESSION, 1) not in ledger.in_flight


def test_in_flight_throughout_asks_for_every_moment() -> None:
    ledger = Ledger(Clock())
    ledger.send(SESSION, 1)  # at 1
    ledger.send(SESSION, 2)  # at 2
    ledger.acknowledge(SESSION, [1])  # at 3
    ledger.acknowledge(SESSION, [2])  # at 4
    ledger.send(SESSION, 3)  # at 5
    assert ledger.in_flight_throughout(1, 3)
    assert not ledger.in_flight_throughout(0, 3)
    assert not ledger.in_flight_throughout(3, 4)
    assert not ledger.in_flight_throughout(3, 6)
    assert ledger.in_flight_throughout(5, 9)
