"""`python -m services.patterns` serves until SIGTERM; `parked list|retry` is for what a follower parked."""

import asyncio
import sys

from libs.common.feed.cli import parked_main
from libs.common.rpc import app as process
from libs.common.settings import load_settings
from services.patterns import app
from services.patterns.settings import PatternsSettings


def main() -> None:
    settings = load_settings(PatternsSettings, app.NAME)
    if sys.argv[1:2] == ["parked"]:
        sys.exit(asyncio.run(parked_main(app.open_database(settings), app.handlers(), sys.argv[2:])))
    process.run(app.NAME, settings, app.compose)


if __name__ == "__main__":
    main()
