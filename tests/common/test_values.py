"""Ids, times and page tokens."""

from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.ids import DerivedIds, derived_id, parsed_id
from libs.common.pagination import PageTokens, PageValue, page_size
from libs.common.rpc.errors import AppError
from libs.common.timestamps import serialised, to_datetime, to_timestamp

PARTS = st.lists(st.text(max_size=5), max_size=4)
TIMES = st.datetimes(timezones=st.just(UTC))
VALUES = st.lists(st.none() | st.integers(-(2**62), 2**62) | st.text(max_size=20), max_size=4)


def test_derived_id_is_a_contract() -> None:
    assert derived_id("alert", UUID(int=1), 7) == UUID("3b119c42-201b-575d-8251-4491353fbef1")


@given(PARTS, PARTS)
def test_derived_ids_are_equal_exactly_for_equal_keys(one: list[str], other: list[str]) -> None:
    assert (derived_id(*one) == derived_id(*other)) is (one == other)


@given(PARTS, st.text(max_size=5))
def test_ids_that_differ_in_their_last_part_are_derived_alike(before: list[str], last: str) -> None:
    assert DerivedIds(*before).bytes_of(last) == derived_id(*before, last).bytes


@given(st.uuids())
def test_parsed_ids_equal_any_others(made: UUID) -> None:
    parsed = parsed_id(str(made))
    assert (parsed, hash(parsed), str(parsed)) == (made, hash(made), str(made))
    with pytest.raises(ValueError, match="UUID"):
        parsed_id(f"{made}0")


@given(TIMES)
def test_time_survives_the_wire(moment: datetime) -> None:
    assert to_datetime(to_timestamp(moment)) == moment


@given(TIMES | st.datetimes(datetime(1970, 1, 1), datetime(1970, 1, 2), timezones=st.just(UTC)))  # noqa: DTZ001
def test_a_time_is_serialised_as_its_message(moment: datetime) -> None:
    message = to_timestamp(moment).SerializeToString()
    assert serialised(moment) == bytes([len(message)]) + message


def test_nanoseconds_are_cut() -> None:
    timestamp = to_timestamp(datetime(1969, 12, 31, 23, 59, 59, 5, UTC))
    assert (timestamp.seconds, timestamp.nanos) == (-1, 5000)
    timestamp.nanos = 5999
    assert to_datetime(timestamp).microsecond == 5


@given(VALUES)
def test_page_token_opens_as_what_was_sealed(values: list[PageValue]) -> None:
    token = PageTokens(b"secret").seal("ListSessions", values)
    assert PageTokens(b"secret").open("ListSessions", token) == tuple(values)


def test_empty_token_asks_for_the_first_page() -> None:
    assert PageTokens(b"secret").open("ListSessions", "") is None


@pytest.mark.parametrize("token", ["x", "é", "AAAA", "=" * 50, "A" * 100])
def test_token_that_was_not_sealed_here_is_refused(token: str) -> None:
    with pytest.raises(AppError) as raised:
        PageTokens(b"secret").open("ListSessions", token)
    assert raised.value.reason == "PAGE_TOKEN_INVALID"


def test_token_is_bound_to_its_method_and_secret() -> None:
    token = PageTokens(b"secret").seal("ListSessions person-7", ["a"])
    for tokens, method in [(PageTokens(b"secret"), "ListSessions person-8"), (PageTokens(), "ListSessions person-7")]:
        with pytest.raises(AppError):
            tokens.open(method, token)


def test_page_size_is_bounded() -> None:
    assert [page_size(requested, 50, 200) for requested in (-1, 0, 1, 200, 201)] == [50, 50, 1, 200, 200]
