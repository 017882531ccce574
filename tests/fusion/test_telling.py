"""What the feed tells of a result is what reading it says."""

from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from quietus.fusion.v1.events_pb2 import Event
from services.fusion.columns import FusedColumns
from services.fusion.events import chunks_fused, fused_parts
from services.fusion.science.inputs import ChunkInputs
from services.fusion.telling import result_message
from tests.fusion import make
from tests.fusion.fold_support import folded


@given(
    st.lists(make.any_chunk(), min_size=1, max_size=4),
    st.integers(1, 2**63 - 1),
    st.timedeltas(timedelta(0), timedelta(days=30_000)),
)
def test_events_hold_what_a_read_answers_but_for_the_explanation(
    chunks: list[ChunkInputs], number: int, later: timedelta
) -> None:
    results = folded([make.chunk(number, one.vision, one.audio, one.text) for number, one in enumerate(chunks)])
    origin = replace(make.batch(number, *make.predictions(chunks[0])), receive_time=make.START + later)
    fused = fused_parts(FusedColumns.of([result.fused for result in results]))
    told = Event.FromString(chunks_fused(origin, results, fused)).chunks_fused
    answered = [result_message(make.SESSION_ID, one) for one in results]
    for one in answered:
        one.ClearField("explanation")
    assert list(told.results) == answered
    assert (told.user_id, told.session_id, told.batch_number) == (str(make.USER_ID), str(make.SESSION_ID), number)
    assert told.receive_time.ToDatetime() == origin.receive_time.replace(tzinfo=None)
