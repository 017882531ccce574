"""Plots of what `crema-d` found, as SVG: the same figures give the same bytes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

SETTINGS: dict[Any, Any] = {"svg.hashsalt": "quietus", "svg.fonttype": "none", "font.size": 9.0}
# Without the date of the run.
METADATA = {"Date": None}
INK, ACCENT, GRID = "#26323a", "#2a6f97", "#d5dbdf"


def draw(found: Mapping[str, Any], folder: Path) -> list[Path]:
    with mpl.rc_context(SETTINGS):
        return [
            _saved(_reliability(found), folder / "fusion-reliability.svg"),
            _saved(_confusion(found), folder / "fusion-confusion.svg"),
        ]


def _saved(figure: Figure, path: Path) -> Path:
    figure.savefig(path, format="svg", metadata=METADATA)
    return path


def _reliability(found: Mapping[str, Any]) -> Figure:
    """How often the likeliest emotion is right by how probable it is said to be; below, how many clips that is."""
    bins = found["ece_bins"]
    stated, right = [one["stated"] for one in bins], [one["right"] for one in bins]
    figure = Figure(figsize=(4.6, 4.6), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    above.plot([0, 1], [0, 1], color=GRID, linewidth=1.2)
    above.plot(stated, right, color=ACCENT, marker="o", markersize=4, linewidth=1.2)
    above.set_ylabel("share of clips where it is intended")
    above.set_ylim(0, 1)
    above.set_xlim(0, 1)
    above.set_title(f"{_who(found)}: expected calibration error {found['ece']:.3f}", color=INK, fontsize=9)
    middles = [(one["low"] + one["high"]) / 2 for one in bins]
    below.bar(middles, [one["clips"] for one in bins], width=0.09, color=ACCENT)
    below.set_xlabel("stated probability of the likeliest emotion")
    below.set_ylabel("clips")
    for axes in (above, below):
        _plain(axes)
    return figure


def _confusion(found: Mapping[str, Any]) -> Figure:
    """Shares of each intended emotion."""
    labels, counts = found["confusion"]["labels"], found["confusion"]["clips"]
    shares = [[count / max(sum(row), 1) for count in row] for row in counts]
    figure = Figure(figsize=(4.6, 4.3), layout="constrained")
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0.0, vmax=1.0)
    for row, values in enumerate(shares):
        for column, share in enumerate(values):
            axes.text(
                column, row, f"{share:.0%}", ha="center", va="center", color="white" if share > 0.5 else INK, fontsize=8
            )
    axes.set_xticks(range(len(labels)), labels)
    axes.set_yticks(range(len(labels)), labels)
    axes.set_xlabel("fused")
    axes.set_ylabel("intended")
    axes.set_title(f"{_who(found)}: {found['intended_accuracy']:.1%} found", color=INK, fontsize=9)
    return figure


def _who(found: Mapping[str, Any]) -> str:
    return f"{found['model_version']}, {found['clips']} clips of {found['actors']} actors"


def _plain(axes: Axes) -> None:
    axes.grid(color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
