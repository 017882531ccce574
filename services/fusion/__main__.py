"""`python -m services.fusion` serves until SIGTERM; `parked list|retry` shows and retries what could not be applied,
`models` shows, compares and switches versions of the model (--help), `empty` prepares a rebuild (--help).
"""

import sys
from functools import partial

from libs.common.feed.cli import run_parked
from libs.common.rpc import app as process
from libs.common.settings import load_settings
from services.fusion import app, models_cli
from services.fusion.service import emptying
from services.fusion.settings import FusionSettings


def main() -> None:
    settings = load_settings(FusionSettings, app.NAME)
    if sys.argv[1:2] == ["parked"]:
        sys.exit(run_parked(partial(app.open_slice, settings), sys.argv[2:]))
    if sys.argv[1:2] == ["models"]:
        sys.exit(models_cli.run_models(settings, sys.argv[2:]))
    if sys.argv[1:2] == ["empty"]:
        sys.exit(emptying.run_empty(sys.argv[2:]))
    process.run(app.NAME, settings, app.compose)


if __name__ == "__main__":
    main()
