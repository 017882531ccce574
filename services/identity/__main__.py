"""`python -m services.identity` serves until SIGTERM; `bootstrap` and `token` are commands (--help)."""

import sys

from libs.common.rpc import app as process
from libs.common.settings import load_settings
from services.identity import app, cli
from services.identity.settings import IdentitySettings


def main() -> None:
    settings = load_settings(IdentitySettings, app.NAME)
    if sys.argv[1:]:
        sys.exit(cli.run(settings, sys.argv[1:]))
    process.run(app.NAME, settings, app.compose)


if __name__ == "__main__":
    main()
