"""`python -m services.alerts` serves until SIGTERM; `parked list|retry` shows and retries what could not be applied."""

import asyncio
import sys

from libs.common.feed.cli import parked_main
from libs.common.rpc import app as process
from libs.common.settings import load_settings
from services.alerts import app
from services.alerts.settings import AlertsSettings


def main() -> None:
    settings = load_settings(AlertsSettings, app.NAME)
    if sys.argv[1:2] == ["parked"]:
        sys.exit(asyncio.run(parked_main(app.open_database(settings), app.handlers(settings), sys.argv[2:])))
    process.run(app.NAME, settings, app.compose)


if __name__ == "__main__":
    main()
