"""What fusion finds on CREMA-D: figures of the shipped model, or of weights refitted without each actor."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.report import table
from bench.science import crema_d, figures, masking
from bench.science.clip_events import BOTH, Statement, events, followed, fused_emotions
from bench.science.crema_d import Clips, VotesError
from bench.science.emotion_fit import FOLDS, leave_actors_out
from bench.science.figures import Bins, Figure, Resampled
from services.fusion.models import read_document
from services.fusion.science.inputs import Booleans, Floats, Integers
from services.fusion.science.model import FusionModel, parse_model
from services.fusion.vocabulary import KNOWN_EMOTIONS, Direction, Modality

FACE, VOICE = BOTH


@dataclass(frozen=True)
class Fuser:
    """Which model fuses which clips: one for all, or for each actor one that has not seen the actor."""

    parts: Sequence[tuple[Booleans, FusionModel]]

    def emotions(self, clips: Clips, modalities: Sequence[Modality]) -> Floats:
        probabilities = np.full((len(clips), len(KNOWN_EMOTIONS)), np.nan)
        for rows, model in self.parts:
            probabilities[rows] = fused_emotions(model, clips.where(rows), modalities)
        return probabilities

    def is_masking(self, clips: Clips, statements: Sequence[Statement]) -> Floats:
        """(n,): 1 where the clip with its statement is called masking."""
        found = np.zeros(len(clips))
        for rows, model in self.parts:
            said = [statement for statement, row in zip(statements, rows, strict=True) if row]
            found[rows] = called_masking(model, clips.where(rows), said)
        return found


def called_masking(model: FusionModel, clips: Clips, statements: Sequence[Statement]) -> Floats:
    results = followed(model, events(clips, BOTH, statements))
    return np.array([float(result is not None and result.fused.direction is Direction.MASKING) for result in results])


def evaluate(
    votes: Path, version: str, *, cross_validated: bool = False, missing_audio: Path | None = None
) -> dict[str, Any]:
    """VotesError, and what read_document and parse_model raise. Shares in [0, 1], NLL in nats, Brier in [0, 2]."""
    clips = crema_d.load(votes, missing_audio)
    document = parse_model(read_document(version))
    everybody = Fuser([(np.ones(len(clips), np.bool_), document.model)])
    fuser = _left_out(clips, document.document) if cross_validated else everybody
    report = _Report(clips)
    _add_emotions(report, clips, fuser)
    _add_masking(report, clips, fuser, document.model)
    return {
        "model_version": document.model.version,
        "weights_checksum": document.checksum,
        "weights": f"refitted without each actor, {FOLDS} folds" if cross_validated else "as shipped",
        "fitted_on": document.model.emotion.source.data,
        "clips": len(clips),
        "actors": len(np.unique(clips.actor)),
        **report.values,
        "intervals": report.intervals,
        **report.more,
    }


def _left_out(clips: Clips, document: Mapping[str, Any]) -> Fuser:
    held_out = leave_actors_out(clips, base=document)
    return Fuser([(np.isin(clips.actor, list(one.actors)), one.model) for one in held_out])


class _Report:
    def __init__(self, clips: Clips) -> None:
        self.resampled = Resampled(clips.actor)
        self.values: dict[str, float | None] = {}
        self.intervals: dict[str, list[float]] = {}
        self.more: dict[str, Any] = {}

    def add(self, name: str, figure: Figure | None) -> None:
        """A figure that no clip of the file speaks of is null and has no interval."""
        self.values[name] = None if figure is None else figure.value
        if figure is not None:
            self.intervals[name] = [figure.low, figure.high]

    def add_mean(self, name: str, rows: Booleans, values: Floats) -> None:
        """Over `rows` (n,), of which `values` has one each."""
        spread = np.zeros(len(rows))
        spread[rows] = values
        self.add(name, self.resampled.mean(spread, rows))

    def add_hits(self, name: str, rows: Booleans, truth: Integers, shares: Floats) -> None:
        self.add_mean(name, rows, crema_d.hits(truth[rows], shares[rows]))


def _add_emotions(report: _Report, clips: Clips, fuser: Fuser) -> None:
    fused = fuser.emotions(clips, BOTH)
    judged = ~np.isnan(fused[:, 0])
    if not judged.any():
        raise VotesError("no clip has votes on voice or face")
    # The panel's votes of a clip that lacked its sound may be of the face alone.
    heard = judged & clips.has_panel & ~clips.missing_audio
    intended = clips.intended
    report.add_hits("intended_accuracy", judged, intended, fused)
    report.add_hits("panel_agreement", heard, fused.argmax(axis=1), clips.panel)
    report.add_mean("nll", judged, figures.log_loss(intended[judged], fused[judged]))
    report.add_mean("brier", judged, figures.brier(intended[judged], fused[judged]))
    bins = Bins.of(intended[judged], fused[judged])
    report.add("ece", Resampled(clips.actor[judged]).calibration_error(bins))
    for name, modality, rows in (
        ("voice_only_accuracy", VOICE, clips.has_voice),
        ("face_only_accuracy", FACE, clips.has_face),
    ):
        report.add_hits(name, rows, intended, fuser.emotions(clips, (modality,)))
    for name, rows, shares in (
        ("voice_plurality_accuracy", clips.has_voice, clips.voice),
        ("face_plurality_accuracy", clips.has_face, clips.face),
        ("panel_plurality_accuracy", clips.has_panel & ~clips.missing_audio, clips.panel),
    ):
        report.add_hits(name, rows, intended, shares)
    everything = judged & clips.has_panel
    report.add_hits("panel_agreement_with_missing_audio", everything, fused.argmax(axis=1), clips.panel)
    by_chance = bins.error_if_calibrated()
    report.more |= {
        "clips_with": {
            "voice": int(clips.has_voice.sum()),
            "face": int(clips.has_face.sum()),
            "panel": int(clips.has_panel.sum()),
            "missing_audio": int(clips.missing_audio.sum()),
        },
        "ece_bins": bins.rows(),
        "ece_if_calibrated": {
            "mean": float(by_chance.mean()),
            "95th_percentile": float(np.percentile(by_chance, 95)),
        },
        "confusion": {
            "labels": [emotion.label for emotion in KNOWN_EMOTIONS],
            "clips": figures.confusion(intended[judged], fused[judged]),
        },
    }


def _add_masking(report: _Report, clips: Clips, fuser: Fuser, model: FusionModel) -> None:
    """The headline is the worst of what a text model may say of a neutral statement."""
    neutral = {
        name: report.resampled.mean(fuser.is_masking(clips, statements))
        for name, statements in masking.neutral_statements(clips).items()
    }
    report.add("false_masking_rate", max((rate for rate in neutral.values() if rate), key=lambda rate: rate.value))
    pleasant = np.isin(clips.intended, masking.PLEASANT)
    positive = {
        name: report.resampled.mean(fuser.is_masking(clips, statements), pleasant)
        for name, statements in masking.positive_statements(clips).items()
    }
    cases = masking.synthetic_cases()
    found = called_masking(model, cases.clips, cases.statements)
    by_case = Resampled(cases.clips.actor)
    report.add("synthetic_masking_recall", by_case.mean(found))
    grades = np.array(cases.grade)
    report.more |= {
        "false_masking_by_statement": {name: rate and rate.value for name, rate in neutral.items()},
        "false_masking_of_pleasant_clips": {name: rate and rate.value for name, rate in positive.items()},
        "synthetic_masking_by_grade": {
            grade.name: float(found[grades == grade.name].mean()) for grade in masking.GRADES
        },
    }


_SHARES = (
    ("intended_accuracy", "intended emotion found"),
    ("panel_agreement", "what most of the panel said"),
    ("voice_only_accuracy", "intended emotion by the voice alone"),
    ("face_only_accuracy", "intended emotion by the face alone"),
    ("voice_plurality_accuracy", "... by most raters of the voice"),
    ("face_plurality_accuracy", "... by most raters of the face"),
    ("panel_plurality_accuracy", "... by most raters of both"),
    ("false_masking_rate", "neutral words called masking"),
    ("synthetic_masking_recall", "synthetic masking found"),
)
_NUMBERS = (
    ("nll", "negative log-likelihood, nats"),
    ("brier", "Brier score, 0 to 2"),
    ("ece", "expected calibration error"),
)


def as_text(found: Mapping[str, Any]) -> str:
    rows = [_row(found, name, text, "{:.1%}") for name, text in _SHARES]
    rows += [_row(found, name, text, "{:.4f}") for name, text in _NUMBERS]
    chance, counts = found["ece_if_calibrated"], found["clips_with"]
    grades = ", ".join(f"{name} {recall:.0%}" for name, recall in found["synthetic_masking_by_grade"].items())
    neutral, pleasant = (
        ", ".join(f"{name} {rate:.1%}" for name, rate in found[part].items() if rate is not None)
        for part in ("false_masking_by_statement", "false_masking_of_pleasant_clips")
    )
    labels = found["confusion"]["labels"]
    confused = [
        [label, *(str(count) for count in row)] for label, row in zip(labels, found["confusion"]["clips"], strict=True)
    ]
    return "\n".join(
        [
            f"{found['model_version']}, weights {found['weights']}, checksum {found['weights_checksum']}",
            f"fitted on: {found['fitted_on']}",
            "on actors of that data, shipped weights have seen what they are asked; --cross-validated has not",
            f"{found['clips']} clips of {found['actors']} actors; the panel of {counts['missing_audio']} may not have"
            " heard the clip and is left out of the panel's figures",
            "",
            table(("", "value", "95% interval over actors"), rows),
            "",
            f"as many clips with true probabilities have an error of {chance['mean']:.4f} by chance, one in twenty more"
            f" than {chance['95th_percentile']:.4f}",
            f"synthetic masking found by grade: {grades}",
            f"neutral words called masking: {neutral}",
            f"positive words over clips that intend neutral or happy called masking: {pleasant}",
            "",
            table(("intended \\ fused", *labels), confused),
        ]
    )


def _row(found: Mapping[str, Any], name: str, text: str, pattern: str) -> tuple[str, str, str]:
    if found[name] is None:
        return text, "no clip", ""
    low, high = found["intervals"][name]
    return text, pattern.format(found[name]), f"{pattern.format(low)} to {pattern.format(high)}"
