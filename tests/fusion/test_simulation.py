"""Simulated people, from the SDK's messages to a session's level."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from libs.common.timestamps import to_timestamp
from quietus.ingest.v1.events_pb2 import PredictionsCommitted
from quietus.ingest.v1.predictions_pb2 import PredictionBatch
from quietus_edge import messages
from quietus_edge.simulation import SimulatedSession, generate
from services.fusion.fold import ChangedResult
from services.fusion.reading import client_batch
from services.fusion.vocabulary import Level
from tests.fusion import make
from tests.fusion.fold_support import fold, new_fold

NOW = datetime(2026, 11, 1, tzinfo=UTC)


def sessions(persona: str) -> Iterator[list[ChangedResult]]:
    for seed in range(3):
        for simulated in generate(persona, seed, NOW):
            session = new_fold()
            fold(session, client_batch(committed(simulated)))
            yield list(session.changes())


def committed(simulated: SimulatedSession) -> PredictionsCommitted:
    predictions = [
        message
        for one in simulated.chunks
        for message in messages.predictions(one.chunk, one.vision, one.audio, one.text, seal=None)
    ]
    return PredictionsCommitted(
        user_id=str(make.USER_ID),
        anonymous_id="anon",
        session_id=str(simulated.session_id),
        receive_time=to_timestamp(simulated.end),
        batch=PredictionBatch(batch_number=1, predictions=predictions),
    )


def highest(session: list[ChangedResult]) -> Level:
    return max(change.result.state.level for change in session)


@pytest.mark.parametrize("persona", ["calm", "camera_failure"])
def test_calm_people_stay_low_through_all_their_weeks(persona: str) -> None:
    assert {highest(session) for session in sessions(persona)} == {Level.LOW}


def test_a_decline_reaches_high_by_scores_alone() -> None:
    levels = [highest(session) for session in sessions("declining")]
    for weeks in range(0, len(levels), 16):
        assert levels[weeks] is Level.LOW
        assert levels[weeks + 15] is Level.HIGH


def test_an_acute_crisis_is_critical_from_the_first_chunk() -> None:
    for session in list(sessions("crisis"))[15::16]:
        assert {change.result.state.level for change in session} == {Level.CRITICAL}


def test_masking_is_found_again_and_again_and_calm_people_hardly_ever_mask_for_long() -> None:
    assert persistent("masking") > 0.5
    assert persistent("calm") < 0.1


def persistent(persona: str) -> float:
    """Share of the sessions of the last week with persistent masking."""
    late = [session for number, session in enumerate(sessions(persona)) if number % 16 >= 12]
    found = [
        any(change.finding and change.finding.interpretation == "MASKING_PERSISTENT" for change in session)
        for session in late
    ]
    return sum(found) / len(found)
