"""Exits with 0 when the service of this container serves: `python -m deploy.container.healthcheck`."""

import os
import sys
import urllib.error
import urllib.request

TIMEOUT_SECONDS = 2.0


def main() -> int:
    url = f"http://127.0.0.1:{os.environ['QUIETUS_METRICS_PORT']}/healthz"
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS):
            return 0
    except (urllib.error.URLError, OSError) as error:
        print(f"not serving: {error}")
        return 1


if __name__ == "__main__":
    sys.exit(main())
