"""python -m bench.science: what the suite's methods reach on real data, and how their fitted parts are made."""

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.science import cssrs, cues, valence_fit
from bench.science.emotion_fit import refit
from bench.science.model_file import written
from quietus_edge.cues import lexicon
from services.fusion.models import SHIPPED, path_of, read_document

DATA = Path("../shared/data")
WEIGHTS = Path("libs/edge/quietus_edge/cues/data/weights.json")


def main() -> int:
    arguments = _parser().parse_args()
    if not arguments.data.is_file():
        print(f"no data at {arguments.data}", file=sys.stderr)
        return 1
    arguments.run(arguments)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.science", description=__doc__)
    commands = parser.add_subparsers(required=True)
    fit = commands.add_parser("fit-emotion", help="fit the emotions of fusion on CREMA-D and write a model file")
    _add_data(fit, "--votes", "crema-d/votes.csv")
    fit.add_argument("--base", default=SHIPPED, help="version whose expert priors are kept (default: %(default)s)")
    fit.add_argument("--version", default=SHIPPED, help="name of the new version (default: %(default)s)")
    fit.add_argument("--out", type=Path, help="file to write (default: the version's own in services/fusion/models)")
    fit.set_defaults(run=_fit_emotion)
    valence = commands.add_parser("fit-valence", help="fit the learned part of valence on Lemotif")
    _add_data(valence, "--lemotif", "lemotif/entries.csv")
    valence.add_argument("--out", type=Path, default=WEIGHTS, help="file to write (default: %(default)s)")
    valence.set_defaults(run=_fit_valence)
    for command in (fit, valence):
        command.add_argument("--date", default=datetime.now(UTC).date().isoformat(), help="of the fit (default: today)")
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


def _fit_emotion(arguments: argparse.Namespace) -> None:
    document = refit(read_document(arguments.base), arguments.data, arguments.version, arguments.date)
    target = arguments.out or path_of(arguments.version)
    target.write_text(written(document))
    print(f"{target}: checksum {document['checksum']}")
    print("each actor fused by weights fitted without the actor:")
    for name, value in document["emotion"]["figures"].items():
        print(f"  {name:26} {value:.4f}")


def _fit_valence(arguments: argparse.Namespace) -> None:
    document = valence_fit.refit(arguments.data, lexicon(), arguments.date)
    arguments.out.write_text(valence_fit.written(document))
    print(f"{arguments.out}: {len(document['words'])} words, {document['entries']} entries")


def _print(figures: Callable[[Path], Mapping[str, Any]], arguments: argparse.Namespace) -> None:
    print(json.dumps(figures(arguments.data), indent=None if arguments.json else 2))


if __name__ == "__main__":
    sys.exit(main())
