"""The memory of the tail: consecutive, bounded, never guessing."""

from collections.abc import Sequence
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from libs.common.feed.outbox import Batch
from libs.common.feed.window import MAX_READ_BATCHES, MAX_READ_BYTES, Window


def batch(position: int, size: int = 1) -> Batch:
    return Batch(0, position, datetime.fromtimestamp(position, UTC), bytes(size))


@given(st.integers(0, 5), st.lists(st.tuples(st.integers(1, 20), st.integers(0, 40)), max_size=60), st.integers(0, 20))
def test_gives_what_follows_or_says_that_it_cannot(start: int, appended: Sequence[tuple[int, int]], after: int) -> None:
    window = Window(max_bytes=100)
    window.start_at(start)
    for position, size in appended:
        head = window.head
        taken = window.append(batch(position, size))
        assert head is not None
        assert taken == (position <= head + 1)
        assert window.head == max(head, position if taken else 0)
    assert window.head is not None
    found = window.after(after)
    if after >= window.head:
        assert found == []
    elif found is not None:
        assert [each.position for each in found] == list(range(after + 1, window.head + 1))
        assert sum(len(each.payload) for each in found) <= 100


def test_knows_nothing_before_it_starts_and_after_it_forgets() -> None:
    window = Window(max_bytes=100)
    assert not window.append(batch(1))
    assert window.after(0) is None
    window.start_at(0)
    assert window.append(batch(1))
    window.forget()
    assert window.after(0) is None
    assert not window.append(batch(2))


def test_a_batch_beyond_the_bound_is_not_kept() -> None:
    window = Window(max_bytes=100)
    window.start_at(0)
    assert window.append(batch(1, 101))
    assert window.head == 1
    assert window.after(0) is None
    assert window.append(batch(2, 100))
    assert window.after(1) == [batch(2, 100)]


def test_a_reader_gets_no_more_than_it_should_hold() -> None:
    window = Window(max_bytes=10 * MAX_READ_BYTES)
    window.start_at(0)
    for position in range(1, 4):
        window.append(batch(position, MAX_READ_BYTES // 2 + 1))
    for position in range(4, 2 * MAX_READ_BATCHES):
        window.append(batch(position, 1))
    assert [each.position for each in window.after(0) or ()] == [1, 2]
    assert len(window.after(3) or ()) == MAX_READ_BATCHES
