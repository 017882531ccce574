"""What rows and events say of fused chunks is the same whether it is made of the arrays that fused them or of the
chunks themselves, as late ones make it of what was stored.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.fusion.columns import FusedColumns, FusedParts
from services.fusion.events import fused_parts
from services.fusion.science.fuse import chunks_of, fuse, fuse_chunks
from services.fusion.science.inputs import ChunkInputs, InputArrays
from services.fusion.science.model import FusionModel, VersionReliability
from services.fusion.store.packed_results import fused_fields
from services.fusion.vocabulary import KNOWN_EMOTIONS
from tests.fusion import make
from tests.fusion.make import MODEL

Make = Callable[[FusedColumns], Sequence[bytes]]
MAKES: Sequence[Make] = (fused_fields, fused_parts)
UNCHANGED = tuple(tuple(float(row == column) for column in KNOWN_EMOTIONS) for row in KNOWN_EMOTIONS)
FITTED = VersionReliability(
    origin="fitted",
    source=MODEL.emotion.source,
    people=1,
    predictions=1,
    prior_strength=1.0,
    confusion=UNCHANGED,  # type: ignore[arg-type]  # six of six
    evidence=UNCHANGED,  # type: ignore[arg-type]
)
# With a table for the version of make.any_shown(), as a face.
KNOWING = replace(MODEL, emotion=replace(MODEL.emotion, vision_versions={make.shown().model_version: FITTED}))


@pytest.mark.parametrize("model", [MODEL, KNOWING], ids=["no version is fitted", "a version is fitted"])
@pytest.mark.parametrize("make_parts", MAKES)
@given(st.lists(make.any_chunk(), min_size=1, max_size=5))
def test_arrays_and_chunks_say_the_same(make_parts: Make, model: FusionModel, chunks: list[ChunkInputs]) -> None:
    fused = fuse(model, InputArrays.of(chunks))
    assert make_parts(FusedColumns.of_arrays(model, fused)) == make_parts(FusedColumns.of(chunks_of(model, fused)))


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


def test_another_chunk_in_the_place_of_one_that_is_gone_is_not_taken_for_it() -> None:
    parts = FusedParts(fused_fields)
    for number in range(20):
        (chunk,) = fuse_chunks(MODEL, InputArrays.of([make.chunk(0, text=make.said(number / 20))]))
        assert parts.of([chunk]) == fused_fields(FusedColumns.of([chunk]))
        del chunk
