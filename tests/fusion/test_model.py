"""Model files: a version is its content, and says where its numbers come from."""

from copy import deepcopy
from typing import Any

import pytest

from services.fusion.models import SHIPPED, read_document
from services.fusion.science.model import ModelError, checksum_of, parse_model
from services.fusion.vocabulary import Modality
from tests.fusion.make import MODEL


def changed(path: str, value: Any) -> dict[str, Any]:
    """The shipped document with one value changed and a checksum that fits."""
    document = deepcopy(read_document(SHIPPED))
    *sections, last = path.split(".")
    place = document
    for section in sections:
        place = place[section]
    place[last] = value
    document["checksum"] = checksum_of(document)
    return document


def test_the_shipped_model_says_what_is_fitted_and_what_an_expert_set() -> None:
    assert MODEL.emotion.origin == "fitted"
    assert MODEL.emotion.source.license == "ODbL 1.0"
    assert {part.origin for part in (MODEL.distress, MODEL.session, MODEL.dissonance)} == {"expert prior"}
    assert MODEL.emotion.figures["intended_accuracy"] > 0.765


def test_a_changed_number_under_an_old_checksum_is_refused() -> None:
    document = read_document(SHIPPED)
    document["distress"]["prior"] = 0.2
    with pytest.raises(ModelError, match="checksum"):
        parse_model(document)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("distress.prior", "a lot"),
        ("distress.surprise", 1.0),
        ("emotion.labels", ["neutral"]),
        ("emotion.trust", {"sad": 1.0}),
        ("dissonance.valence", [0.0]),
        ("distress.prior", 0.0),
        ("distress.prior", float("nan")),
        ("distress.weights", {"vision": 0.4, "audio": 0.4}),
        ("distress.weights.text", float("inf")),
        ("distress.weights.text", -0.1),
        ("distress.clip", [0.0, 1.0]),
        ("distress.clip", [0.9, 0.1]),
        ("distress.text_level_floors", {"grave": 0.5}),
        ("distress.evidence_scale", 0.0),
        ("session.memory_seconds", 0.0),
        ("session.maximum_chunk_seconds", 0.5),
        ("session.enter", {"medium": 0.25, "high": 0.55}),
        ("session.enter.critical", 0.3),
        ("session.leave.high", 0.6),
        ("emotion.base_rates", [0.0, 0.2, 0.2, 0.2, 0.2, 0.2]),
        ("emotion.trust.numb", 1.5),
        ("dissonance.everyday_rates", [0.0] * 6),
        ("dissonance.window_chunks", 17),
    ],
)
def test_a_malformed_document_is_refused(path: str, value: Any) -> None:
    with pytest.raises(ModelError):
        parse_model(changed(path, value))


def test_thresholds_leave_room_between_entering_and_leaving() -> None:
    for level, enter in MODEL.session.enter.items():
        assert MODEL.session.leave[level] < enter


def test_words_weigh_most_and_none_decides_alone() -> None:
    weights = MODEL.distress.weights
    assert max(weights, key=lambda name: weights[name]) == Modality.TEXT.label
    assert max(weights.values()) < 1.0
