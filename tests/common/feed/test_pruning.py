"""What is forgotten, and when."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from libs.common.clock import utc_now
from libs.common.feed.outbox import partition_of
from libs.common.feed.pruning import Pruner, Retention, prunable_through
from libs.common.observability.metrics import Metrics
from tests.common.feed.slices import PEOPLE, Slices, event

NOW = datetime(2025, 3, 1, tzinfo=UTC)
KEEP = Retention(days=7, max_days=30)
PERSON = PEOPLE[0]
PARTITION = partition_of(PERSON, 3)


def aged(*days: float) -> list[tuple[int, datetime]]:
    return [(position, NOW - timedelta(days=age)) for position, age in enumerate(days, 1)]


def test_waits_for_retention_and_for_every_follower() -> None:
    assert prunable_through(aged(9, 8, 6), {}, KEEP, NOW) == 2
    assert prunable_through(aged(9, 8, 6), {"fusion": 3, "patterns": 1}, KEEP, NOW) == 1
    assert prunable_through(aged(9, 8, 6), {"fusion": 0}, KEEP, NOW) is None
    assert prunable_through(aged(), {"fusion": 0}, KEEP, NOW) is None


def test_goes_on_without_a_dead_follower_at_last() -> None:
    assert prunable_through(aged(32, 31, 29), {"fusion": 0}, KEEP, NOW) == 2


@given(
    st.lists(st.floats(0, 60), max_size=20),
    st.dictionaries(st.sampled_from(["fusion", "patterns"]), st.integers(0, 25)),
)
def test_never_forgets_what_is_still_needed(ages: Sequence[float], followers: Mapping[str, int]) -> None:
    through = prunable_through(aged(*ages), followers, KEEP, NOW) or 0
    needed = [
        position
        for position, age in enumerate(ages, 1)
        if age < 7 or (age < 30 and position > min(followers.values(), default=len(ages)))
    ]
    assert through < min(needed, default=len(ages) + 1)


async def test_prunes_and_keeps_alarming_while_a_follower_is_left_behind(slices: Slices) -> None:
    metrics = Metrics("ingest")

    async def prune(days_from_now: float) -> int:
        return await Pruner(slices.source, metrics, KEEP, lambda: utc_now() + timedelta(days=days_from_now)).prune()

    for value in range(600):
        await slices.tell(event(PERSON, value))
    async with slices.source.transaction() as tx:
        await tx.execute("INSERT INTO feed_followers VALUES ('fusion', :partition, 520)", {"partition": PARTITION})
    assert await prune(6) == 0
    assert await prune(8) == 520
    assert metrics.degraded_reasons == []
    assert await prune(31) == 80
    assert metrics.degraded_reasons == ["feed_follower_left_behind"]
    async with slices.source.transaction() as tx:
        assert await tx.scalar("SELECT count(*) FROM outbox") == 0
        head = await tx.fetch_one(
            "SELECT position, pruned_position FROM feed_head WHERE partition = :partition", {"partition": PARTITION}
        )
        assert head is not None
        assert tuple(head) == (600, 600)
        await tx.execute("DELETE FROM feed_followers")
    assert await prune(31) == 0
    assert metrics.degraded_reasons == []
    await slices.tell(event(PERSON, 1))
    async with slices.source.read() as tx:
        assert await tx.scalar("SELECT position FROM outbox") == 601
