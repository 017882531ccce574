"""docs/science/fusion.md says what the model file says."""

import re
from pathlib import Path

import pytest

from services.fusion.models import SHIPPED, read_document
from tests.fusion.make import MODEL

FOLDER = Path(__file__).parents[2] / "docs" / "science"
PAGE = (FOLDER / "fusion.md").read_text()
WORDS = " ".join(PAGE.split())
FIGURES = MODEL.emotion.figures


def row(begins: str) -> str:
    """The line of the table of figures that begins so."""
    (line,) = [line for line in PAGE.splitlines() if line.startswith(f"| {begins} |")]
    return line


def test_the_page_is_of_the_shipped_file() -> None:
    assert read_document(SHIPPED)["checksum"] in PAGE
    assert f"{SHIPPED}.json" in PAGE


@pytest.mark.parametrize(
    ("begins", "figure"),
    [
        ("intended emotion", f"{FIGURES['intended_accuracy']:.1%}"),
        ("... by the face alone", f"{FIGURES['face_only_accuracy']:.1%}"),
        ("... by the voice alone", f"{FIGURES['voice_only_accuracy']:.1%}"),
        ("... by most raters of the face", f"{FIGURES['face_plurality_accuracy']:.1%}"),
        ("... by most raters of the voice", f"{FIGURES['voice_plurality_accuracy']:.1%}"),
        ("negative log-likelihood", f"{FIGURES['nll']:.3f}"),
        ("expected calibration error", f"{FIGURES['ece']:.3f}"),
    ],
)
def test_a_figure_of_the_page_is_the_one_that_the_file_was_fitted_with(begins: str, figure: str) -> None:
    assert re.search(rf"\| {re.escape(figure)} ", row(begins))


def test_the_page_names_the_priors_as_they_are() -> None:
    distress, session, rules = MODEL.distress, MODEL.session, MODEL.dissonance
    weights = distress.weights
    for said in (
        f"The prior is {distress.prior:g}",
        f"weights are {weights['vision']:g} for the face, {weights['audio']:g} for the voice",
        f"{weights['text']:g} for the words",
        f"clipped to [{distress.clip[0]:g}, {distress.clip[1]:g}]",
        "entered at {:g}, {:g} and {:g}".format(*session.enter_thresholds),
        "left below {:g}, {:g} and {:g}".format(*session.leave_thresholds),
        f"words of valence {rules.said_positive:g} or more ({rules.said_positive_with_deflection:g} with",
        f"a shown valence of {rules.shown_negative:g} or less, and a gap of {rules.minimum_gap:g}",
        f"{rules.everyday_rates[0]:.0%} neutral",
    ):
        assert said in WORDS
    assert session.memory_seconds == 120  # two minutes


def test_the_plots_are_of_the_shipped_file() -> None:
    who = f"{SHIPPED}, 4333 clips of 53 actors"
    assert f"{who}: {FIGURES['intended_accuracy']:.1%} found" in (FOLDER / "fusion-confusion.svg").read_text()
    assert f"{who}: expected calibration error {FIGURES['ece']:.3f}" in (FOLDER / "fusion-reliability.svg").read_text()


def test_the_same_figures_are_drawn_in_the_same_bytes(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from bench.science import plots  # noqa: PLC0415 - matplotlib may lack

    found = {
        "model_version": SHIPPED,
        "clips": 3,
        "actors": 1,
        "ece": 0.1,
        "intended_accuracy": 0.5,
        "ece_bins": [{"low": 0.5, "high": 0.6, "clips": 3, "stated": 0.55, "right": 0.65}],
        "confusion": {"labels": ["sad", "happy"], "clips": [[1, 1], [0, 0]]},
    }
    (tmp_path / "again").mkdir()
    for first, second in zip(plots.draw(found, tmp_path), plots.draw(found, tmp_path / "again"), strict=True):
        assert first.read_bytes() == second.read_bytes()
