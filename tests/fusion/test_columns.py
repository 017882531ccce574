"""What rows and events say of fused chunks is the same whether it is made of the arrays that fused them or of the
chunks themselves, as late ones make it of what was stored.
"""

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.fusion.columns import FusedColumns, FusedParts
from services.fusion.events import fused_parts
from services.fusion.science.fuse import chunks_of, fuse, fuse_chunks
from services.fusion.science.inputs import ChunkInputs, InputArrays
from services.fusion.store.packed_results import fused_fields
from tests.fusion import make
from tests.fusion.make import MODEL

Make = Callable[[FusedColumns], Sequence[bytes]]
MAKES: Sequence[Make] = (fused_fields, fused_parts)


@pytest.mark.parametrize("make_parts", MAKES)
@given(st.lists(make.any_chunk(), min_size=1, max_size=5))
def test_arrays_and_chunks_say_the_same(make_parts: Make, chunks: list[ChunkInputs]) -> None:
    fused = fuse(MODEL, InputArrays.of(chunks))
    assert make_parts(FusedColumns.of_arrays(MODEL, fused)) == make_parts(FusedColumns.of(chunks_of(MODEL, fused)))


@pytest.mark.parametrize("make_parts", MAKES)
@given(st.lists(make.any_chunk(), min_size=2, max_size=5))
def test_a_chunk_among_others_says_what_it_says_alone(make_parts: Make, chunks: list[ChunkInputs]) -> None:
    fused = fuse_chunks(MODEL, InputArrays.of(chunks))
    together = make_parts(FusedColumns.of(fused))
    assert together == [part for one in fused for part in make_parts(FusedColumns.of([one]))]


def test_parts_are_found_by_the_chunk_itself_and_made_once() -> None:
    made: list[int] = []

    def counting(columns: FusedColumns) -> Sequence[bytes]:
        made.append(len(columns.numbers))
        return fused_fields(columns)

    arrays = fuse(MODEL, InputArrays.of([make.chunk(number, text=make.said(number / 10)) for number in range(4)]))
    chunks = chunks_of(MODEL, arrays)
    expected = fused_fields(FusedColumns.of(chunks))
    parts = FusedParts(counting)
    assert parts.of(chunks[1:3]) == expected[1:3]
    assert parts.of([*reversed(chunks), chunks[1]]) == [*reversed(expected), expected[1]]
    assert parts.of(()) == []
    assert made == [2, 2]
