"""Failpoints kill at the hit that was asked for, and cost nothing otherwise."""

import pytest

from libs.common import failpoints


def test_reads_what_is_armed() -> None:
    assert failpoints.parse("") == {}
    assert failpoints.parse("follower.before_commit=kill@3, ingest.before_commit=kill@1") == {
        "follower.before_commit": 3,
        "ingest.before_commit": 1,
    }


@pytest.mark.parametrize("text", ["nowhere=kill@1", "ingest.before_commit", "ingest.before_commit=kill@0", "=kill@x"])
def test_refuses_what_it_does_not_understand(text: str) -> None:
    with pytest.raises(ValueError, match="QUIETUS_FAILPOINTS"):
        failpoints.parse(text)


def test_does_nothing_unless_armed() -> None:
    for name in failpoints.NAMES:
        failpoints.hit(name)
