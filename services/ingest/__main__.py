"""`python -m services.ingest` serves until SIGTERM; `parked list|retry` is for what a follower parked."""

import sys

from libs.common.feed import cli
from libs.common.rpc import app as process
from libs.common.settings import load_settings
from services.ingest import app
from services.ingest.settings import IngestSettings


def main() -> None:
    settings = load_settings(IngestSettings, app.NAME)
    if sys.argv[1:]:
        sys.exit(cli.main(sys.argv[1:]))
    process.run(app.NAME, settings, app.compose)


if __name__ == "__main__":
    main()
