"""Which version fuses a batch."""

from datetime import timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from services.fusion.fold import ClientBatch
from services.fusion.versions import Switch, by_version, version_at
from tests.fusion import make

seconds = st.integers(0, 20)


def switches(effects: list[int]) -> list[Switch]:
    times = [make.START + timedelta(seconds=effect) for effect in sorted(effects)]
    return [Switch(number, f"v{number}", at, "admin:test", at) for number, at in enumerate(times, start=1)]


def received(second: int) -> ClientBatch:
    at = make.START + timedelta(seconds=second)
    return ClientBatch(make.USER_ID, "anon_0001", make.SESSION_ID, at, second, ())


@given(st.lists(seconds, min_size=1, max_size=6), seconds)
def test_the_last_switch_before_a_batch_was_received_decides(effects: list[int], second: int) -> None:
    made = switches(effects)
    batch = received(second)
    expected = made[0]
    for switch in made[1:]:
        if switch.effect_time < batch.receive_time:
            expected = switch
    assert version_at(made, batch.receive_time) == expected.version


@given(st.lists(seconds, min_size=1, max_size=6), st.lists(seconds, max_size=20))
def test_runs_keep_the_order_and_hold_one_version_each(effects: list[int], arrivals: list[int]) -> None:
    made, batches = switches(effects), [received(second) for second in arrivals]
    runs = list(by_version(made, batches))
    assert [batch for _, run in runs for batch in run] == batches
    assert all(version_at(made, batch.receive_time) == version for version, run in runs for batch in run)
    assert all(one[0] != other[0] for one, other in pairwise(runs))
