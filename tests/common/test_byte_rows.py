"""Rows of bytes hold what was added to them, from left to right, and nothing of what they lack."""

import numpy as np

from libs.common.byte_rows import ByteRows


def test_a_row_holds_the_bytes_of_its_values() -> None:
    rows = ByteRows(2)
    rows.add(np.array([1, 258], ">u2"))
    rows.add(np.array([[3, 4], [5, 6]], np.uint8))
    assert rows.rows() == [b"\x00\x01\x03\x04", b"\x01\x02\x05\x06"]


def test_bytes_that_are_not_kept_take_no_room() -> None:
    rows = ByteRows(3)
    rows.add(np.array([[1, 2], [3, 4], [5, 6]], np.uint8), np.array([[True, False], [False, False], [True, True]]))
    rows.add(np.array([7, 8, 9], np.uint8), np.array([[False], [False], [True]]))
    assert rows.rows() == [b"\x01", b"", b"\x05\x06\x09"]


def test_what_is_denied_to_a_row_is_denied_to_all_its_bytes() -> None:
    rows = ByteRows(2)
    rows.add(np.array([258, 258], ">u2"), np.array([[True], [False]]))
    assert rows.rows() == [b"\x01\x02", b""]


def test_strings_keep_their_lengths_and_their_zeros() -> None:
    rows = ByteRows(4)
    rows.add_strings([b"", b"a\x00", b"\x00", b"abc"])
    rows.add_strings([b""] * 4)
    assert rows.rows() == [b"", b"a\x00", b"\x00", b"abc"]
