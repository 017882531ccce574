"""python -m bench.science: what the suite's methods reach on real data, and how their fitted parts are made."""

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.science import cssrs, cues, evaluation, masking, reliability_fit, valence_fit
from bench.science.crema_d import VotesError
from bench.science.emotion_fit import refit
from bench.science.model_file import written
from bench.science.reliability_fit import PredictionsError
from quietus_edge.cues import lexicon
from services.fusion.models import SHIPPED, path_of, read_document
from services.fusion.science.model import ModelError
from services.fusion.vocabulary import SHOWING_MODALITIES, Modality

DATA = Path("../shared/data")
WEIGHTS = Path("libs/edge/quietus_edge/cues/data/weights.json")


def main() -> int:
    arguments = _parser().parse_args()
    if not arguments.data.is_file():
        print(f"no data at {arguments.data}", file=sys.stderr)
        return 1
    try:
        arguments.run(arguments)
    except FileNotFoundError as error:
        print(f"no file {error.filename}", file=sys.stderr)
        return 1
    except (VotesError, PredictionsError, ModelError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.science", description=__doc__)
    commands = parser.add_subparsers(required=True)
    emotions = commands.add_parser("crema-d", help="emotions and false alarms of the fusion that the service runs")
    _add_data(emotions, "--votes", "crema-d/votes.csv")
    emotions.add_argument("--model", default=SHIPPED, help="version of the model (default: %(default)s)")
    emotions.add_argument("--missing-audio", type=Path, help="names of clips whose panel may not have heard them")
    emotions.add_argument("--cross-validated", action="store_true", help="fuse each actor by weights fitted without")
    emotions.add_argument("--json", action="store_true", help="print JSON on one line")
    emotions.set_defaults(run=_evaluate)
    plot = commands.add_parser("plot-fusion", help="draw the reliability and the confusion of actors left out")
    _add_data(plot, "--votes", "crema-d/votes.csv")
    plot.add_argument("--model", default=SHIPPED, help="version of the model (default: %(default)s)")
    plot.add_argument("--out", type=Path, default=Path("docs/science"), help="folder (default: %(default)s)")
    plot.set_defaults(run=_plot)
    fit = commands.add_parser("fit-emotion", help="fit the emotions of fusion on CREMA-D and write a model file")
    _add_data(fit, "--votes", "crema-d/votes.csv")
    fit.add_argument("--base", default=SHIPPED, help="version whose expert priors are kept (default: %(default)s)")
    fit.add_argument("--version", default=SHIPPED, help="name of the new version (default: %(default)s)")
    fit.add_argument("--out", type=Path, help="file to write (default: the version's own in services/fusion/models)")
    fit.set_defaults(run=_fit_emotion)
    edge = commands.add_parser("fit-reliability", help="fit how one version of an edge model reads, into a model file")
    edge.add_argument("--predictions", dest="data", type=Path, required=True, help="its labelled predictions, CSV")
    edge.add_argument("--modality", choices=[one.label for one in SHOWING_MODALITIES], required=True)
    edge.add_argument("--edge-version", required=True, help="as its predictions name it in model_version")
    for option in ("source", "citation", "license"):
        edge.add_argument(f"--{option}", required=True, help="of the predictions; it stands in the model file")
    edge.add_argument("--base", default=SHIPPED, help="version that is added to (default: %(default)s)")
    edge.add_argument("--version", required=True, help="name of the new version")
    edge.add_argument("--out", type=Path, help="file to write (default: the version's own in services/fusion/models)")
    edge.set_defaults(run=_fit_reliability)
    valence = commands.add_parser("fit-valence", help="fit the learned part of valence on Lemotif")
    _add_data(valence, "--lemotif", "lemotif/entries.csv")
    valence.add_argument("--out", type=Path, default=WEIGHTS, help="file to write (default: %(default)s)")
    valence.set_defaults(run=_fit_valence)
    for command in (fit, edge, valence):
        command.add_argument("--date", default=datetime.now(UTC).date().isoformat(), help="of the fit (default: today)")
    synthetic = commands.add_parser("synthesize-masking", help="write the synthetic masking set anew")
    synthetic.add_argument("--out", type=Path, default=masking.SYNTHETIC, help="file to write (default: %(default)s)")
    synthetic.set_defaults(run=_synthesize, data=Path(__file__))
    mood = commands.add_parser("cues", help="valence against VADER, topics and speed, on Lemotif")
    _add_data(mood, "--lemotif", "lemotif/entries.csv")
    mood.set_defaults(run=lambda arguments: _print(cues.figures, arguments))
    crisis = commands.add_parser("crisis", help="the crisis screen on posts that an expert judged; figures only")
    _add_data(crisis, "--cssrs", "cssrs/users.csv")
    crisis.set_defaults(run=lambda arguments: _print(cssrs.figures, arguments))
    for command in (mood, crisis):
        command.add_argument("--json", action="store_true", help="print JSON on one line")
    return parser


def _add_data(command: argparse.ArgumentParser, option: str, name: str) -> None:
    command.add_argument(option, dest="data", type=Path, default=DATA / name, help="its data (default: %(default)s)")


def _evaluate(arguments: argparse.Namespace) -> None:
    found = evaluation.evaluate(
        arguments.data,
        arguments.model,
        cross_validated=arguments.cross_validated,
        missing_audio=arguments.missing_audio,
    )
    print(json.dumps(found) if arguments.json else evaluation.as_text(found))


def _plot(arguments: argparse.Namespace) -> None:
    from bench.science import plots  # noqa: PLC0415 - matplotlib is needed for this alone

    found = evaluation.evaluate(arguments.data, arguments.model, cross_validated=True)
    print("\n".join(map(str, plots.draw(found, arguments.out))))


def _fit_emotion(arguments: argparse.Namespace) -> None:
    document = refit(read_document(arguments.base), arguments.data, arguments.version, arguments.date)
    target = arguments.out or path_of(arguments.version)
    target.write_text(written(document))
    print(f"{target}: checksum {document['checksum']}")
    print("each actor fused by weights fitted without the actor:")
    for name, value in document["emotion"]["figures"].items():
        print(f"  {name:26} {value:.4f}")


def _fit_reliability(arguments: argparse.Namespace) -> None:
    source = {
        "data": arguments.source,
        "citation": arguments.citation,
        "license": arguments.license,
        "command": "python -m bench.science fit-reliability",
    }
    document = reliability_fit.refit(
        read_document(arguments.base),
        reliability_fit.load(arguments.data),
        Modality[arguments.modality.upper()],
        arguments.edge_version,
        arguments.version,
        source,
        arguments.date,
    )
    target = arguments.out or path_of(arguments.version)
    target.write_text(written(document))
    print(f"{target}: checksum {document['checksum']}")


def _fit_valence(arguments: argparse.Namespace) -> None:
    document = valence_fit.refit(arguments.data, lexicon(), arguments.date)
    arguments.out.write_text(valence_fit.written(document))
    print(f"{arguments.out}: {len(document['words'])} words, {document['entries']} entries")


def _synthesize(arguments: argparse.Namespace) -> None:
    print(f"{arguments.out}: {masking.write_synthetic(arguments.out)} synthetic cases")


def _print(figures: Callable[[Path], Mapping[str, Any]], arguments: argparse.Namespace) -> None:
    print(json.dumps(figures(arguments.data), indent=None if arguments.json else 2))


if __name__ == "__main__":
    sys.exit(main())
