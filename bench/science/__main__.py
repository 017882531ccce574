"""python -m bench.science fit-emotion: fits the emotion part of a fusion model and says how good it is on unseen
actors.
"""

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path

from bench.science.emotion_fit import refit
from bench.science.model_file import written
from services.fusion.models import SHIPPED, path_of, read_document

VOTES = Path("../shared/data/crema-d/votes.csv")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.science", description=__doc__)
    commands = parser.add_subparsers(required=True)
    fit = commands.add_parser("fit-emotion", help="fit on CREMA-D and write a model file")
    fit.add_argument("--votes", type=Path, default=VOTES, help="votes.csv of CREMA-D (default: %(default)s)")
    fit.add_argument("--base", default=SHIPPED, help="version whose expert priors are kept (default: %(default)s)")
    fit.add_argument("--version", default=SHIPPED, help="name of the new version (default: %(default)s)")
    fit.add_argument("--date", default=datetime.now(UTC).date().isoformat(), help="date of the fit (default: today)")
    fit.add_argument("--out", type=Path, help="file to write (default: the version's own in services/fusion/models)")
    arguments = parser.parse_args()
    if not arguments.votes.is_file():
        print(f"no votes at {arguments.votes}; see --votes", file=sys.stderr)
        return 1
    document = refit(read_document(arguments.base), arguments.votes, arguments.version, arguments.date)
    target = arguments.out or path_of(arguments.version)
    target.write_text(written(document))
    print(f"{target}: checksum {document['checksum']}")
    print("each actor fused by weights fitted without the actor:")
    for name, value in document["emotion"]["figures"].items():
        print(f"  {name:26} {value:.4f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
