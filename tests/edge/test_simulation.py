import csv
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from statistics import mean

import pytest

from quietus_edge import messages
from quietus_edge.errors import InvalidInputError
from quietus_edge.ids import uuid7_time
from quietus_edge.simulation import PERSONAS, SimulatedSession, generate
from quietus_edge.simulation.crema_d import EMOTIONS, FACE_VOTES, VOICE_VOTES

END = datetime(2025, 3, 1, 12, tzinfo=UTC)
VOTES = Path(__file__).parents[3] / "shared" / "data" / "crema-d" / "votes.csv"


def stress(session: SimulatedSession) -> float:
    return mean(one.audio.stress_score for one in session.chunks)


def made(persona: str, seed: int = 1) -> list[SimulatedSession]:
    return list(generate(persona, seed, END))


@pytest.mark.parametrize("persona", PERSONAS)
def test_a_person_is_the_same_for_the_same_seed_and_always_valid(persona: str) -> None:
    sessions = made(persona)
    assert sessions == made(persona)
    assert sessions != made(persona, seed=2)
    for one in (one for session in sessions for one in session.chunks):
        messages.predictions(one.chunk, one.vision, one.audio, one.text, None)


@pytest.mark.parametrize("persona", PERSONAS)
def test_weeks_pass_in_order_up_to_the_end(persona: str) -> None:
    sessions = made(persona)
    assert len(sessions) == 16
    assert sessions[-1].end == END
    assert END - sessions[0].start > timedelta(weeks=3)
    for earlier, later in pairwise(sessions):
        assert earlier.end < later.start
    for session in sessions:
        assert abs(uuid7_time(session.session_id) - session.start) < timedelta(milliseconds=1)
        assert session.chunks[0].chunk.start == session.start
        assert session.chunks[-1].chunk.end == session.end


def test_each_persona_is_what_its_name_says() -> None:
    calm, declining, masking, crisis = (made(name) for name in ("calm", "declining", "masking", "crisis"))
    assert max(stress(session) for session in calm) < 0.25
    assert stress(declining[0]) < 0.25
    assert stress(declining[-1]) > 0.6
    last = masking[-1].chunks
    assert stress(masking[-1]) > 0.6
    assert all(one.text.risk_level == "low" and (one.text.valence or 0) > 0.2 for one in last)
    assert all(one.text.cues and one.text.cues.deflections for one in last)
    acute = crisis[-1].chunks
    assert any(one.text.risk_level == "critical" for one in acute)
    assert all(one.text.cues and "active_ideation" in one.text.cues.crisis_signals for one in acute)
    assert not any(one.text.cues and one.text.cues.crisis_signals for one in crisis[-2].chunks)


def test_the_camera_fails_midway() -> None:
    sessions = made("camera_failure")
    assert all(one.vision for one in sessions[0].chunks)
    seen = [one.vision is not None for one in sessions[-1].chunks]
    assert seen == [True] * 6 + [False] * 6


def test_an_unknown_persona_is_named() -> None:
    with pytest.raises(InvalidInputError, match="calm, declining"):
        list(generate("stoic", 1, END))


@pytest.mark.skipif(not VOTES.exists(), reason="CREMA-D's votes are not at hand")
def test_the_tables_are_the_sums_of_the_votes() -> None:
    sums: Counter[tuple[str, str, str]] = Counter()
    names = {emotion[0].upper(): emotion for emotion in EMOTIONS}
    with VOTES.open() as file:
        for row in csv.DictReader(file):
            for modality in ("voice", "face"):
                for letter, perceived in names.items():
                    sums[modality, names[row["intended"]], perceived] += int(row[f"{modality}_{letter}"])
    for modality, table in (("voice", VOICE_VOTES), ("face", FACE_VOTES)):
        for intended, votes in table.items():
            assert list(votes) == [sums[modality, intended, perceived] for perceived in EMOTIONS]
