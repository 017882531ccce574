"""Golden results: what fusion makes of sessions that a person can read. `python -m tests.fusion.golden` writes them."""

from pathlib import Path
from typing import Any

import pytest

from tests.fusion.golden.stories import NAMES, chunks_of, model_of, number_of, paths, played, read, written
from tests.fusion.reference import SIX
from tests.fusion.reference_session import ReferenceState, reference_session

# Twelve decimals: half of the last of them, and what platforms may differ by.
ROUNDED = 1.5e-12
LABELS = {modality.label: name for modality, name in NAMES.items()}

stories = pytest.mark.parametrize("path", paths(), ids=lambda path: path.stem)


def test_there_are_stories() -> None:
    assert len(paths()) >= 10


@stories
def test_fusion_makes_of_it_what_the_file_says(path: Path) -> None:
    story = read(path)
    assert differences(played(story), story) == []


@stories
def test_the_file_is_as_the_command_writes_it(path: Path) -> None:
    assert written(read(path)) == path.read_text()


@stories
def test_the_reference_says_the_same(path: Path) -> None:
    story = read(path)
    expected = [as_written(state) for state in reference_session(model_of(story), chunks_of(story))]
    found = [{name: value for name, value in result.items() if name in expected[0]} for result in story["results"]]
    assert differences(found, expected) == []


def as_written(state: ReferenceState) -> dict[str, Any]:
    fused = state.fused
    return {
        "chunk": number_of(state.chunk_id),
        "level": state.level,
        "cause": state.cause,
        "session_score": state.score,
        "score": fused.score,
        "logit": fused.logit,
        "prior_and_contributions": {
            "prior": fused.prior_logit,
            **{LABELS[label]: logit for label, logit in fused.contributions.items()},
        },
        "confidence": fused.confidence,
        "emotions": None if fused.emotions is None else dict(zip(SIX, fused.emotions, strict=True)),
        "dissonance": {
            "direction": fused.direction,
            "score": fused.dissonance_score,
            "said_valence": fused.said_valence,
            "shown_valence": fused.shown_valence,
            "finding": state.finding,
            "evidence": [number_of(chunk_id) for chunk_id in state.evidence],
        },
    }


def differences(found: Any, expected: Any, place: str = "") -> list[str]:
    if isinstance(found, dict) and isinstance(expected, dict) and found.keys() == expected.keys():
        return [one for key in found for one in differences(found[key], expected[key], f"{place}/{key}")]
    if isinstance(found, list) and isinstance(expected, list) and len(found) == len(expected):
        pairs = enumerate(zip(found, expected, strict=True))
        return [one for number, pair in pairs for one in differences(*pair, f"{place}/{number}")]
    if isinstance(found, float) and isinstance(expected, float | int):
        return [] if abs(found - expected) <= ROUNDED else [f"{place}: {found!r}, expected {expected!r}"]
    return [] if found == expected else [f"{place}: {found!r}, expected {expected!r}"]
