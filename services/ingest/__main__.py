"""`python -m services.ingest` serves until SIGTERM; `parked list|retry` shows and retries what could not be applied,
`export` writes files for research (--help).
"""

import sys
from functools import partial

from libs.common.feed.cli import run_parked
from libs.common.rpc import app as process
from libs.common.rpc.workers import die_with_leader
from libs.common.settings import load_settings
from services.ingest import app, cli
from services.ingest.settings import IngestSettings


def main() -> None:
    settings = load_settings(IngestSettings, app.NAME)
    if settings.worker_number:
        die_with_leader(settings.leader_process_id)
    if sys.argv[1:2] == ["parked"]:
        sys.exit(run_parked(partial(app.open_slice, settings), sys.argv[2:]))
    if sys.argv[1:2] == ["export"]:
        sys.exit(cli.run_export(settings, sys.argv[2:]))
    process.run(app.NAME, settings, app.compose)


if __name__ == "__main__":
    main()
